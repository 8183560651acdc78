"""The operator's wall clock is set back, or that of the next leader was behind all the time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.journeys import a_settled_cluster


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_clock_that_is_set_back_an_hour_delays_no_rollout(turns: int) -> None:
    cluster = a_settled_cluster()
    cluster.lies["v2"] = "!no answer yet"
    cluster.edit(modelVersion="v2")
    for _ in range(turns):
        cluster.turn()
    cluster.pass_time(hours=-1)
    cluster.lies.clear()
    before = cluster.now
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.now - before < timedelta(minutes=1)
