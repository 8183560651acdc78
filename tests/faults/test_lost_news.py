"""Class 9: every line of every watch is lost, or comes with what follows it; or none tells of a change."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH, each_way
from tests.faults.judging import all_well
from tests.sim.faults import COALESCE, DROP, Channel, line
from tests.sim.process import Installation
from tests.sim.runner import Run, numbers, play, reference
from tests.sim.stage import Stage

LOST_OR_LATE = (DROP, COALESCE)
LOOKS = 20
"""A workload's end is reached by so many looks at what is there."""
BETWEEN_LOOKS = ("crash-after-cutover",)
"""It is about something that happens and matters within seconds: who does not hear of the crash goes back all
the same, but later, and for want of an answer."""
BESIDE_ANOTHER = "one-place-for-two"
"""Later lines tell of the other deployment's."""
SEEN_LATER = [each for each in EACH if each.values[0] not in BETWEEN_LOOKS]


@pytest.mark.parametrize("what", LOST_OR_LATE)
@pytest.mark.parametrize("workload", SEEN_LATER)
def test_any_line_of_a_watch_may_be_lost_or_late(workload: str, what: str, count: Count) -> None:
    lines = each_way(workload, numbers(reference(workload), Channel.LINE), LOST_OR_LATE)
    count(9, all_well(Run(workload, 0, (line(number, way),)) for number, way in lines if way == what))


def test_what_was_made_beside_others_is_not_made_again_and_again_where_nobody_tells_of_it(
    count: Count,
) -> None:
    told = reference(BESIDE_ANOTHER).journal.lines
    made = [each.number for each in told if str(each).startswith(("ADDED ConfigMap", "ADDED ReplicaSet"))]
    count(9, all_well(Run(BESIDE_ANOTHER, 0, (line(number, DROP),)) for number in made))


@pytest.mark.parametrize("workload", SEEN_LATER)
def test_what_no_watch_tells_is_seen_by_looking_again(workload: str, count: Count) -> None:
    patience = LOOKS * Installation.resync_seconds
    result = play(Run(workload), reference(workload), lose_changes, patience)

    assert not result.problems, result.problems
    count(9, 1)


def lose_changes(stage: Stage) -> None:
    stage.process.conditions.changes_lost = True
