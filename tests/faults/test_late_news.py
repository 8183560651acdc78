"""Class 12: caches that learn of our own writes late, or too late to matter, double none of them."""

from __future__ import annotations

from functools import partial

import pytest
from tests.faults.conftest import Count
from tests.sim.runner import Result, Run, play, reference
from tests.sim.stage import Stage

from sluicegate.kube.resources import Resource
from sluicegate.shell.view import OWNED

MAKING = ("create", "version-change", "scale-up")


@pytest.mark.parametrize("seconds", [1.0, 20.0, 600.0])
@pytest.mark.parametrize("workload", MAKING)
def test_news_of_any_kind_may_come_late(workload: str, seconds: float, count: Count) -> None:
    wanted = reference(workload)
    wrong = {}
    for kind in OWNED:
        late = partial(hear_late, seconds=seconds, kind=kind)
        result = play(Run(workload), wanted, late, patience=10 * seconds)
        doubled = _created(result) - _created(wanted)
        if result.problems or doubled > 0:
            wrong[kind.kind] = [*result.problems, f"{doubled} more objects made"]
    assert not wrong
    count(12, len(OWNED))


def hear_late(stage: Stage, seconds: float, kind: Resource) -> None:
    stage.hear_late(seconds, kind)


def _created(result: Result) -> int:
    """How many objects the operator made, events left out."""
    made = [call for call in result.journal.writes() if call.method == "POST" and call.outcome == "201"]
    return sum(not call.path.endswith("/events") for call in made)
