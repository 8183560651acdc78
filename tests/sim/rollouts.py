"""Workloads in which something rare befalls a rollout: its operator is away, room or people are late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tests.sim.beginnings import (
    CHATTING,
    OBSERVED,
    REMEMBERING,
    V1,
    V2,
    Begin,
    a_cluster_with,
    on_whole_nodes,
)
from tests.sim.changes import (
    Change,
    a_bad_version_that_has_failed,
    a_version_in_trouble,
    another_version_that_somebody_promotes,
    another_version_that_waits_for_somebody,
    no_change,
    say,
)
from tests.sim.clock import now
from tests.sim.ends import TWO, Reached, nothing, rolled_back, rollout_of, serves
from tests.sim.stage import ACCELERATORS, Stage, a_deployment
from tests.sim.workloads import Workload

from sluicegate.core import naming
from sluicegate.core.naming import PROMOTE
from sluicegate.core.objects import annotation, labels, name
from sluicegate.kube.resources import CONTROLLER_REVISION, JOB, REPLICA_SET, SERVICE

DEADLINE_SECONDS = 60
"""The shortest that a spec may ask for."""
LONGER_SECONDS = 90.0
BEFORE_A_RESTART_SECONDS = 0.5
OVER_SECONDS = 10.0
"""By then an operator has done all that it does."""

IN_TIME: dict[str, Any] = {"progressDeadlineSeconds": DEADLINE_SECONDS}


@asynccontextmanager
async def nobody_looks(stage: Stage) -> AsyncIterator[None]:
    """The operator is killed, and starts again only afterwards."""
    stage.process.kill()
    await asyncio.sleep(BEFORE_A_RESTART_SECONDS)
    stage.process.pause()
    yield
    stage.process.resume()


async def a_version_that_nobody_observes(stage: Stage) -> None:
    """It serves, and the operator is away for longer than it is to be observed."""
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: stage.is_ready("v2"), 60):
        async with nobody_looks(stage):
            await asyncio.sleep(LONGER_SECONDS)


def pods_become_ready_while_nobody_looks(since: Reached) -> Change:
    """In time, but the operator comes back only after the deadline."""

    async def change(stage: Stage) -> None:
        await a_version_in_trouble("hang")(stage)
        if await stage.until(lambda: since(stage), 30):
            async with nobody_looks(stage):
                stage.world.kubelet.trouble.clear()
                await asyncio.sleep(LONGER_SECONDS)

    return change


def it_is_told(stage: Stage) -> bool:
    return rollout_of(stage).get("step") == "Provisioning"


def its_pods_are_made(stage: Stage) -> bool:
    """The preview Service has yet to select them."""
    return len(stage.names(REPLICA_SET)) == 2


async def a_first_version_that_is_late(stage: Stage) -> None:
    stage.world.kubelet.trouble["v1"] = "hang"
    a_cluster_with(V1, a_deployment(rollout=IN_TIME))(stage)
    await asyncio.sleep(LONGER_SECONDS)
    stage.world.kubelet.trouble.clear()


async def room_that_is_late(stage: Stage) -> None:
    stage.edit(modelVersion="v2")
    await asyncio.sleep(LONGER_SECONDS)
    for node in ("node-c", "node-d"):
        stage.world.nodes.add(node, **{"nvidia.com/gpu": ACCELERATORS})


async def a_word_that_comes_after_the_job_is_gone(stage: Stage) -> None:
    """It let the version pass; by now it would not."""
    if rollout := await another_version_that_waits_for_somebody(stage):
        stage.world.kubelet.trouble["v2"] = "refused"
        for job in stage.names(JOB):
            stage.delete(JOB, job, propagation="Background")
        await asyncio.sleep(OVER_SECONDS)
        say(stage, PROMOTE, rollout)


async def what_failed_after_something_else(stage: Stage) -> None:
    """The good version is asked for, and then the other one again, which is mended meanwhile."""
    stage.edit(modelVersion="v1")
    await stage.until(lambda: stage.is_ready("v1"), 60)
    stage.world.kubelet.trouble.clear()
    stage.edit(modelVersion="v2")


async def its_record_is_taken_from_its_owner(stage: Stage) -> None:
    """As `kubectl delete --cascade=orphan` would, and no more is done to it."""
    for record in stage.server.peek(CONTROLLER_REVISION):
        if "RolledBack" in (annotation(record, naming.OUTCOME) or ""):
            stage.patch(CONTROLLER_REVISION, name(record), {"metadata": {"ownerReferences": None}})


async def lose_the_new_pods_when_they_serve_alone(stage: Stage) -> None:
    """All end before those that served before them have gone."""
    before = _shown(stage)
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: _shown(stage) not in (None, before), 60):
        for pod in stage.pods():
            if labels(pod)[naming.ROLLOUT] == _shown(stage):
                stage.world.kubelet.crash(pod, "OOMKilled", now())


def _shown(stage: Stage) -> str | None:
    service = stage.find(SERVICE, "chat")
    rollout: str | None = service["spec"]["selector"].get(naming.ROLLOUT) if service else None
    return rollout


async def the_first_version_again_while_pods_make_room(stage: Stage) -> None:
    await a_version_in_trouble("hang")(stage)
    await stage.until(lambda: _has_pods_of_another(stage), 60)
    stage.edit(modelVersion="v1")


def _has_pods_of_another(stage: Stage) -> bool:
    return any(labels(pod)[naming.ROLLOUT] != _shown(stage) for pod in stage.pods())


async def two_rollouts_that_are_over(stage: Stage) -> None:
    """Only their records are left."""
    for version in ("v2", "v1"):
        stage.edit(modelVersion=version)
        await stage.until(partial(serves(version, 2), stage), 60)
        await asyncio.sleep(OVER_SECONDS)


async def another_version_and_less_history(stage: Stage) -> None:
    stage.edit(modelVersion="v2", rollout={"historyLimit": 0})


_LATE = a_cluster_with(V1, V2, a_deployment(rollout=IN_TIME))
_TRYING_AND_ASKING = a_cluster_with(
    V1, V2, a_deployment(rollout={"promotion": "Manual", "verification": {"job": {"image": "tests:1"}}})
)


def _goes_on(name: str, given: Begin, change: Change, **more: Any) -> Workload:
    """Whatever befalls it, the new version serves in the end."""
    return Workload(name, given, TWO, change, serves("v2", 2), **more)


def _full(name: str, change: Change, end: Reached, before: Change = no_change, **rollout: Any) -> Workload:
    given = a_cluster_with(V1, V2, on_whole_nodes(**rollout))
    return Workload(name, given, TWO, change, end, outage_seconds=60, seconds=120, before=before)


ROLLOUTS = {
    each.name: each
    for each in (
        _goes_on("away-while-observed", OBSERVED, a_version_that_nobody_observes),
        _goes_on("away-until-late", _LATE, pods_become_ready_while_nobody_looks(since=it_is_told)),
        _goes_on(
            "away-before-the-preview", _LATE, pods_become_ready_while_nobody_looks(since=its_pods_are_made)
        ),
        Workload("late-first-version", a_cluster_with(), nothing, a_first_version_that_is_late, TWO),
        _full("late-room", room_that_is_late, serves("v2", 2), capacity="Wait", **IN_TIME),
        _goes_on("job-gone", _TRYING_AND_ASKING, a_word_that_comes_after_the_job_is_gone, seconds=90),
        _goes_on("wrong-pod-answers", REMEMBERING, a_version_in_trouble("elsewhere"), seconds=90),
        Workload("no-number-answers", REMEMBERING, TWO, a_version_in_trouble("nan"), rolled_back, seconds=90),
        _goes_on(
            "failed-before",
            CHATTING,
            what_failed_after_something_else,
            before=a_bad_version_that_has_failed,
        ),
        Workload(
            "failed-record-let-go",
            CHATTING,
            TWO,
            its_record_is_taken_from_its_owner,
            rolled_back,
            before=a_bad_version_that_has_failed,
        ),
        _goes_on(
            "lost-while-draining",
            CHATTING,
            lose_the_new_pods_when_they_serve_alone,
            outage_seconds=60,
            seconds=120,
        ),
        _full("swap-back", the_first_version_again_while_pods_make_room, TWO, strategy="Swap"),
        _full(
            "swap-promoted",
            another_version_that_somebody_promotes,
            serves("v2", 2),
            strategy="Swap",
            promotion="Manual",
        ),
        _full(
            "swap-with-less-history",
            another_version_and_less_history,
            serves("v2", 2),
            before=two_rollouts_that_are_over,
            strategy="Swap",
        ),
    )
}
"""By name."""
