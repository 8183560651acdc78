"""Class 15: where nothing changes, nothing is written and nobody is looked at but at the resync."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.conftest import Count
from tests.faults.crowd import quiet_stage, settled
from tests.faults.each import EACH
from tests.sim.clock import now
from tests.sim.faults import Script
from tests.sim.hygiene import Hygiene
from tests.sim.process import Installation
from tests.sim.runner import START_SECONDS, beginning, simulate
from tests.sim.stage import Stage
from tests.sim.workloads import WORKLOADS

from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, NODE, Resource
from sluicegate.shell.lease import Timing
from sluicegate.shell.view import OWNED

HOUR = 3600.0
DAY = 24 * HOUR
EVICTION_SECONDS = 400.0
"""The pods of a node that is silent are given up after as long."""
FIRST_LOOK_SECONDS = UNSEEN_SECONDS = 60.0
KINDS = (*OWNED, MODEL_VERSION, LLM_DEPLOYMENT, NODE)
SLOW_LEASE = Timing(lease=1500, renew_deadline=1000, retry=200)
"""Renewals are no reconciles: with fewer of them a day takes no time."""
INSTALLATION = Installation(lease=SLOW_LEASE)
SHORTEST_RESYNC_SECONDS = 0.9 * INSTALLATION.resync_seconds


@pytest.mark.parametrize("workload", EACH)
def test_the_end_of_a_workload_is_silent_for_a_day(workload: str, count: Count) -> None:
    chosen, start = WORKLOADS[workload], beginning(workload, 0)

    async def perform() -> list[str]:
        stage = Stage(start.world.fork(start.world.server.fork()), Script(), INSTALLATION)
        stage.traffic.pause()
        async with stage.running():
            assert await stage.until(lambda: stage.process.leads, START_SECONDS)
            await chosen.when(stage)
            assert await stage.until(lambda: chosen.then(stage), chosen.seconds)
            assert await stage.quiet(EVICTION_SECONDS, 3 * EVICTION_SECONDS)
            return await broken_silence(stage, DAY)

    assert simulate(perform, start.time) == [], f"after python -m tests.sim {workload} 0"
    count(15, 1)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_operator_that_starts_anew_writes_nothing_while_it_cannot_see_all_of_a_kind(
    kind: Resource, count: Count
) -> None:
    start = beginning("version-change", 0)

    async def perform() -> list[str]:
        stage = Stage(start.world.fork(start.world.server.fork()), Script(), INSTALLATION)
        stage.process.conditions.unlisted = {kind.plural: now() + UNSEEN_SECONDS}
        with Hygiene(faulty=True) as hygiene:
            async with stage.running():
                assert await stage.until(lambda: stage.process.leads, START_SECONDS)
                await asyncio.sleep(FIRST_LOOK_SECONDS)
        told = [f"{each.method} {each.path} {each.outcome}" for each in stage.journal.writes()]
        return [*told, *hygiene.findings]

    assert simulate(perform, start.time) == []
    count(15, 1)


def test_many_deployments_are_silent_together(nightly: bool, count: Count) -> None:
    """A thousand for a day; in the push tier a hundred for two hours."""
    deployments, seconds = (1000, DAY) if nightly else (100, 2 * HOUR)
    start = settled(deployments)

    async def perform() -> list[str]:
        stage = quiet_stage(start.world.fork(start.world.server.fork()))
        async with stage.running():
            assert await stage.until(lambda: stage.process.leads, START_SECONDS)
            await asyncio.sleep(FIRST_LOOK_SECONDS)
            return await broken_silence(stage, seconds)

    assert simulate(perform, start.time) == []
    count(15, deployments)


async def broken_silence(stage: Stage, seconds: float) -> list[str]:
    """What happens in this time, but for resyncs."""
    objects = len(stage.names(LLM_DEPLOYMENT)) + len(stage.names(MODEL_VERSION))
    calls, reconciles, version = len(stage.journal.calls), _reconciles(stage), stage.server.store.version
    with Hygiene(faulty=False) as hygiene:
        await asyncio.sleep(seconds)
    problems = [f"a write: {each.method} {each.path}" for each in stage.journal.writes(calls)]
    problems += [
        f"a change of {change.key}"
        for change in stage.server.store.since(version)
        if not change.key[0].endswith("/leases")
    ]
    resyncs = int(seconds / SHORTEST_RESYNC_SECONDS) + 1
    made = _reconciles(stage) - reconciles
    if made > resyncs * objects:
        problems.append(f"{made} reconciles of {objects} objects by {resyncs} resyncs")
    return [*problems, *hygiene.findings]


def _reconciles(stage: Stage) -> int:
    counts = stage.process.meter.counts
    return sum(times for what, times in counts.items() if what[0] == "reconciled")
