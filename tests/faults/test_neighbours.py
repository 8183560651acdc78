"""Class 18: one bad object makes none of the many good ones wait."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.crowd import Neighbour, waits

AT_ONCE_SECONDS = 0.05
NEIGHBOURS = {
    "that cannot be read": Neighbour(every=1.0, refuses="GET", code=500),
    "for which nothing can be written": Neighbour(every=1.0, refuses="write", code=422),
    "whose answers make no sense": Neighbour(every=1.0, refuses="write", code=200),
    "that is edited ten times a second": Neighbour(every=0.1),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_nobody_waits_for_a_neighbour(neighbour: Neighbour, nightly: bool, count: Count) -> None:
    """Of a thousand; in the push tier of a hundred."""
    deployments, edits = (1000, 1000) if nightly else (100, 100)
    alone, beside = waits(deployments, edits), waits(deployments, edits, neighbour)
    assert _of_99_percent(alone) < AT_ONCE_SECONDS
    assert _of_99_percent(beside) <= 1.5 * _of_99_percent(alone)
    count(18, edits)


def _of_99_percent(seconds: list[float]) -> float:
    return seconds[len(seconds) * 99 // 100 - 1]
