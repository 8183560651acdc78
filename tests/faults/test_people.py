"""Class 27: whatever people do at any write of a rollout, it ends as they asked last."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import none_wrong
from tests.faults.people import moments, problems
from tests.sim.minds import CALM, IN_PLACE, MINDS

EACH = [
    pytest.param(name, marks=pytest.mark.nightly if name.startswith(IN_PLACE) else ())
    for name in MINDS
    if not name.endswith(CALM)
]


@pytest.mark.parametrize("mind", EACH)
def test_a_rollout_ends_as_people_asked_last_whenever_they_did(
    mind: str, nightly: bool, count: Count
) -> None:
    """At each write; in the push tier at every third."""
    made = moments(mind) if nightly else moments(mind)[::3]
    wrong = {
        f"python -m tests.faults.people {mind} {number}": found
        for number in made
        if (found := problems(mind, number))
    }
    count(27, none_wrong(len(made), wrong))
