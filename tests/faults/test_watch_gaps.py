"""Class 10: whatever becomes of a watch, the cache is true again 75 s later, and the end is the same."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.conftest import Count
from tests.sim.conditions import Gap
from tests.sim.runner import Run, play, reference
from tests.sim.stage import Stage
from tests.sim.truth import untrue

from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, NODE, Resource
from sluicegate.shell.view import OWNED

KINDS = (*OWNED, MODEL_VERSION, LLM_DEPLOYMENT, NODE)
BUSY = ("create", "version-change", "delete")
TRUE_AGAIN_SECONDS = 82.0
"""A silent watch is given up after 75 s and the next one begins within 1 s; a gap may itself take 5 s."""
AWAY_SECONDS = 20.0
DAY = 86_400.0


class Watched:
    """Meets one kind's watch with a gap at its next news, and later looks whether the caches are true."""

    def __init__(self, kind: Resource, gap: Gap) -> None:
        self._kind = kind
        self._gap = gap
        self.met = False
        self.untrue: list[str] = []

    def disturb(self, stage: Stage) -> None:
        stage.process.conditions.gaps[self._kind.plural] = self._gap
        self._task = asyncio.get_running_loop().create_task(self._look(stage))

    async def _look(self, stage: Stage) -> None:
        await stage.until(lambda: self._kind.plural not in stage.process.conditions.gaps, DAY)
        self.met = True
        await asyncio.sleep(TRUE_AGAIN_SECONDS)
        self.untrue = list(untrue(stage))


@pytest.mark.parametrize("gap", Gap, ids=lambda gap: gap.name.lower())
@pytest.mark.parametrize("workload", BUSY)
def test_a_gap_in_the_watch_of_any_kind_changes_nothing_of_the_end(
    workload: str, gap: Gap, count: Count
) -> None:
    wrong, met = {}, 0
    for kind in KINDS:
        watched = Watched(kind, gap)
        problems = play(Run(workload), reference(workload), watched.disturb).problems
        met += watched.met
        if problems or watched.untrue:
            wrong[kind.kind] = [*problems, *watched.untrue]
    assert not wrong
    count(10, met)


@pytest.mark.parametrize("workload", BUSY)
def test_an_api_server_that_is_away_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    def take_away(stage: Stage) -> None:
        asyncio.get_running_loop().call_later(1.0, stage.take_api_server_away, AWAY_SECONDS)

    result = play(Run(workload), reference(workload), take_away)
    assert not result.problems, result.problems
    count(10, 1)
