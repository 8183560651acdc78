"""A run that branches off is the run that is made alone, and says so whatever becomes of it."""

from __future__ import annotations

import os

import pytest
from tests.sim import branches, faults
from tests.sim.branches import Branching, grown
from tests.sim.faults import Channel, Fault, call, line, write
from tests.sim.runner import NEVER, Run, numbers, reference, tried
from tests.sim.stage import Stage

WORKLOAD = "scale-up"


def runs() -> list[Run]:
    """One of each way to go wrong, and two in a row."""
    change = {each: numbers(reference(WORKLOAD), each)[1] for each in (Channel.WRITE, Channel.LINE)}
    first = write(change[Channel.WRITE], faults.AFTER)
    chosen: list[tuple[Fault, ...]] = [
        (write(change[Channel.WRITE], faults.LATE),),
        (line(change[Channel.LINE], faults.DROP),),
        (line(change[Channel.LINE], faults.PAST),),
        (first,),
        (first, write(change[Channel.WRITE] + 1, faults.BEFORE)),
    ]
    return [Run(WORKLOAD, 0, each) for each in chosen]


def test_a_run_that_branches_off_comes_to_the_same_end_at_the_same_time_as_one_made_alone() -> None:
    told = grown(runs())

    alone = [tried(each) for each in runs()]
    assert list(told.values()) == [(each.seconds, each.problems) for each in alone]
    assert len({each.seconds for each in alone}) > 1


def test_what_a_run_does_wrong_is_told_of_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, right = runs()[3], runs()[0]

    def finds(stage: Stage) -> list[str]:
        return ["wrong"] if stage.script.faults == wrong.faults else []

    monkeypatch.setattr("tests.sim.runner.untrue", finds)

    told = grown([wrong, right])

    assert (told[wrong][1], told[right][1]) == (["wrong"], [])


def test_a_run_that_breaks_the_harness_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = runs()[3]

    def breaks(stage: Stage) -> list[str]:
        if stage.script.faults:
            raise RuntimeError("out of order")
        return []

    monkeypatch.setattr("tests.sim.runner.untrue", breaks)

    [(_, [problem])] = grown([chosen]).values()

    assert "RuntimeError: out of order" in problem


def test_a_run_that_ends_without_a_word_is_no_good_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Branching, "tell", lambda *_: os._exit(1))

    [(_, problems)] = grown(runs()[:1]).values()

    assert problems == [branches.SILENT]


def test_a_fault_that_the_trunk_never_comes_to_is_no_good_run() -> None:
    [(_, problems)] = grown([Run(WORKLOAD, 0, (call(100_000, "500"),))]).values()

    assert problems == [NEVER]
