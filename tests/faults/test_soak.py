"""Class 20: a month of changes and faults, of which each rest finds all well, and nothing grows."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.soak import HOUR, Rest, lived

from sluicegate.shell.recorder import SERIES_KEPT

KINDS = 14
"""Some collections hold something of each kind."""
MEGABYTES_A_DAY = 2.0


@pytest.mark.parametrize("seed", [1, 2])
def test_after_hours_of_changes_and_faults_all_is_well_and_nothing_has_grown(
    seed: int, nightly: bool, count: Count
) -> None:
    hours = 15 * 24 if nightly else 4
    soak = lived(seed, hours * HOUR)
    last = "\n  ".join(
        [f"python -m tests.faults.soak {seed} {hours / 24:g}", *soak.told[-30:], *soak.problems[:20]]
    )
    assert not soak.problems, last
    assert soak.faults > hours
    assert {rest.tasks for rest in soak.rests} == {soak.rests[0].tasks}
    assert not [each for rest in soak.rests for each in _large(rest)]
    if nightly:
        assert _megabytes_a_day(soak.rests) < MEGABYTES_A_DAY
    count(20, soak.changes)


def _large(rest: Rest) -> list[str]:
    """The collections that hold more than one thing for each custom resource, the caches left out."""
    return [
        f"{part} holds {held} at {rest.at:.0f} s"
        for part, held in rest.held.items()
        if held > (SERIES_KEPT if part.endswith("._series") else max(KINDS, rest.objects))
        and ".caches" not in part
    ]


def _megabytes_a_day(rests: list[Rest]) -> float:
    """Slope of what the process holds, by least squares, over the second half of its time."""
    half = rests[len(rests) // 2 :]
    days = [rest.at / (24 * HOUR) for rest in half]
    middle, level = sum(days) / len(half), sum(rest.megabytes for rest in half) / len(half)
    rise = sum((day - middle) * (rest.megabytes - level) for day, rest in zip(days, half, strict=True))
    return rise / sum((day - middle) ** 2 for day in days)
