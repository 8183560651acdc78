"""Class 12: caches that learn of our own writes late, or too late to matter, double none of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from tests.faults.conftest import Count
from tests.sim.runner import Result, Run, play, reference
from tests.sim.stage import Stage

from sluicegate.kube.resources import JOB, POD, Resource
from sluicegate.shell.view import OWNED, PATIENCE_SECONDS

MAKING = ("create", "version-change", "scale-up")
SLOW_SECONDS = 1.0
LIVE_READS_SECONDS = 20.0
"""Our writes are read live when their news are 5 s late; what others write, pods, is waited for."""


@pytest.mark.parametrize("seconds", [1.0, 20.0, 600.0])
@pytest.mark.parametrize("workload", MAKING)
def test_news_of_any_kind_may_come_late(workload: str, seconds: float, count: Count) -> None:
    wanted = reference(workload)
    wrong = {}
    for kind in OWNED:
        late = partial(hear_late, seconds=seconds, kind=kind)
        result = play(Run(workload), wanted, late, patience=10 * seconds)
        # Once a live read has found it gone, old news bring it back: it is deleted again, with no effect.
        refusals = {"409"} if seconds > PATIENCE_SECONDS else {"404", "409"}
        if problems := [*result.problems, *_unheard(result, wanted, kind, refusals)]:
            wrong[kind.kind] = problems
    assert not wrong
    count(12, len(OWNED))


def test_why_a_verification_job_has_failed_is_told_though_news_of_its_pod_come_late(count: Count) -> None:
    late = partial(hear_late, seconds=20.0, kind=POD)
    result = play(Run("job-fails"), reference("job-fails"), late, patience=200)
    assert result.problems == []
    count(12, 1)


@pytest.mark.parametrize("workload", MAKING)
def test_answers_may_come_after_the_news_of_what_they_answer(workload: str, count: Count) -> None:
    result = play(Run(workload), reference(workload), answer_slowly, patience=100)
    assert result.problems == []
    count(12, 1)


def answer_slowly(stage: Stage) -> None:
    stage.process.conditions.answers_take = SLOW_SECONDS


def hear_late(stage: Stage, seconds: float, kind: Resource) -> None:
    stage.hear_late(seconds, kind)


def _unheard(result: Result, wanted: Result, kind: Resource, refusals: set[str]) -> Iterator[str]:
    """What comes of writes that the next decision does not know of."""
    if doubled := _created(result) - _created(wanted):
        yield f"{doubled} more objects made"
    # The Job's own controller writes it too, so that what is late of it is not ours alone.
    if kind is not JOB and (refused := _refused(result, refusals)):
        yield f"{len(refused)} writes refused: {refused[0]}"
    if kind is not POD and result.seconds > wanted.seconds + LIVE_READS_SECONDS:
        yield f"it took {result.seconds:.0f} s instead of {wanted.seconds:.0f} s"


def _created(result: Result) -> int:
    """How many objects the operator made, events left out."""
    made = [call for call in result.journal.writes() if call.method == "POST" and call.outcome == "201"]
    return sum(not call.path.endswith("/events") for call in made)


def _refused(result: Result, refusals: set[str]) -> list[str]:
    refused = [call for call in result.journal.writes() if call.outcome in refusals]
    return [f"{call.method} {call.path} {call.outcome}" for call in refused]
