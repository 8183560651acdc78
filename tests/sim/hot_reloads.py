"""Workloads of rollouts into running pods: what people and nodes do while the pods change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from tests.builders import a_model_version
from tests.sim.beginnings import HOT_RELOAD, V1, V2, a_cluster_with, in_place
from tests.sim.changes import (
    PEOPLE_SECONDS,
    a_version_that_pods_go_back_from,
    another_try,
    another_version,
    another_version_that_waits_for_somebody,
    has_changed,
    say,
)
from tests.sim.clock import now
from tests.sim.cluster.pods import is_ready
from tests.sim.ends import TWO, changed_back, rollout_of, serves
from tests.sim.stage import Stage, a_deployment
from tests.sim.workloads import Workload

from sluicegate.core.naming import ABORT, PROMOTE
from sluicegate.core.objects import name


async def a_pod_ends_before_somebody_promotes(stage: Stage) -> None:
    """What it had staged is lost with its container, and the word comes as soon as it is ready again."""
    if rollout := await another_version_that_waits_for_somebody(stage):
        stage.world.kubelet.crash(max(stage.pods(), key=name), "OOMKilled", now())
        await stage.until(lambda: all(map(is_ready, stage.pods())), PEOPLE_SECONDS)
        say(stage, PROMOTE, rollout)


async def an_abort_while_the_second_pod_changes(stage: Stage) -> None:
    """The first serves the version by then, and the second holds its requests."""
    second = asyncio.Event()

    def ordered(pod: str, body: Mapping[str, Any]) -> None:
        if body["mode"] == "Switch" and has_changed(stage):
            second.set()

    stage.world.runtimes.listeners.append(ordered)
    stage.edit(modelVersion="v2")
    with suppress(TimeoutError):
        await asyncio.wait_for(second.wait(), 60)
        say(stage, ABORT, rollout_of(stage)["id"])


async def a_version_that_pods_have_gone_back_from(stage: Stage) -> None:
    await a_version_that_pods_go_back_from(stage)
    assert await stage.until(lambda: changed_back(stage), 120)


_into_pods = partial(Workload, given=in_place, settled=TWO)

HOT_RELOADS = {
    each.name: each
    for each in (
        Workload(
            "hot-reload-promoted",
            a_cluster_with(V1, V2, a_deployment(rollout={**HOT_RELOAD, "promotion": "Manual"})),
            TWO,
            a_pod_ends_before_somebody_promotes,
            serves("v2", 2),
            outage_seconds=2,
            seconds=90,
        ),
        Workload(
            "hot-reload-from-elsewhere",
            a_cluster_with(
                V1, a_model_version("v2", ready=False, uri="pvc://other/v2"), a_deployment(rollout=HOT_RELOAD)
            ),
            TWO,
            another_version,
            serves("v2", 2),
        ),
        _into_pods("hot-reload-aborted", when=an_abort_while_the_second_pod_changes, then=changed_back),
        _into_pods(
            "hot-reload-retried",
            before=a_version_that_pods_have_gone_back_from,
            when=another_try,
            then=serves("v2", 2),
        ),
    )
}
"""By name. Like OTHERS of workloads.py, each is for one class of faults."""
