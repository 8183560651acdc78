"""Workloads in which custom resources are deleted: in each order, in each way, and with their namespace."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from tests.sim.beginnings import CHAT, V1, V2, a_cluster_with
from tests.sim.changes import Change
from tests.sim.cluster.pods import is_ready
from tests.sim.ends import TWO, Reached, all_gone, serves
from tests.sim.process import NAMESPACE as MODELS
from tests.sim.stage import Stage
from tests.sim.workloads import Workload

from sluicegate.core.objects import Manifest
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, NAMESPACE, REPLICA_SET, SERVICE

LATER_SECONDS = 8.0
"""By then an operator has done what it can."""
SOON_SECONDS = 2.0
"""By then it has begun, and new pods are not ready yet."""

THEIRS: Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "theirs"},
    "data": {"key": "1"},
}


def delete(*names: str, **options: Any) -> Change:
    """Delete these at once: "chat", or ModelVersions."""

    async def change(stage: Stage) -> None:
        for name in names:
            stage.delete(LLM_DEPLOYMENT if name == "chat" else MODEL_VERSION, name, **options)

    return change


def in_turn(*changes: Change, seconds: float = LATER_SECONDS) -> Change:
    async def change(stage: Stage) -> None:
        for number, each in enumerate(changes):
            await asyncio.sleep(seconds if number else 0)
            await each(stage)

    return change


def want(version: str) -> Change:
    async def change(stage: Stage) -> None:
        stage.edit(modelVersion=version)

    return change


def amid_the_change_to_v2(change: Change) -> Change:
    async def changes(stage: Stage) -> None:
        stage.edit(modelVersion="v2")
        await stage.until(lambda: len(stage.names(REPLICA_SET)) == 2, 30)
        await change(stage)

    return changes


async def make_the_deployment_anew(stage: Stage) -> None:
    stage.create(CHAT)


async def make_v2_anew(stage: Stage) -> None:
    await stage.until(lambda: "v2" not in stage.names(MODEL_VERSION), 60)
    stage.create(V2)


async def hold_it_and_ask_for_more(stage: Stage) -> None:
    """Somebody's finalizer keeps an LLMDeployment whose spec still changes."""
    stage.patch(LLM_DEPLOYMENT, "chat", {"metadata": {"finalizers": ["example.org/hold"]}})
    stage.delete(LLM_DEPLOYMENT, "chat")
    stage.edit(modelVersion="v2")


async def let_it_go(stage: Stage) -> None:
    stage.patch(LLM_DEPLOYMENT, "chat", {"metadata": {"finalizers": None}})
    await delete("v1", "v2")(stage)


async def take_the_finalizers_off(stage: Stage) -> None:
    stage.patch(MODEL_VERSION, "v1", {"metadata": {"finalizers": None}})


async def lose_the_status(stage: Stage) -> None:
    """As a restore from a backup does."""
    stage.patch(LLM_DEPLOYMENT, "chat", {"status": None}, subresource="status")


async def delete_the_namespace(stage: Stage) -> None:
    stage.user.delete(NAMESPACE, "", MODELS)


def at_once(*changes: Change) -> Change:
    async def change(stage: Stage) -> None:
        for each in changes:
            await each(stage)

    return change


def without(version: str, reached: Reached) -> Reached:
    return lambda stage: version not in stage.names(MODEL_VERSION) and reached(stage)


def two_pods_serve(stage: Stage) -> bool:
    return len(stage.pods()) == 2 and all(map(is_ready, stage.pods()))


def no_namespace(stage: Stage) -> bool:
    return all_gone(stage) and stage.server.find(NAMESPACE, "", MODELS) is None


def pods_without_a_deployment(stage: Stage) -> bool:
    return not stage.names(LLM_DEPLOYMENT) and two_pods_serve(stage) and bool(stage.names(SERVICE))


_made = partial(Workload, given=a_cluster_with(V1, V2, CHAT, THEIRS), settled=TWO)

DELETIONS = {
    each.name: each
    for each in (
        _made("deployment-first", when=in_turn(delete("chat"), delete("v1", "v2")), then=all_gone),
        _made("versions-first", when=in_turn(delete("v1", "v2"), delete("chat")), then=all_gone),
        _made("all-at-once", when=delete("chat", "v1", "v2"), then=all_gone),
        _made("unused-version", when=delete("v2"), then=without("v2", TWO)),
        _made("active-version", when=in_turn(delete("v1"), want("v2")), then=without("v1", serves("v2", 2))),
        _made(
            "previous-version", when=amid_the_change_to_v2(delete("v1")), then=without("v1", serves("v2", 2))
        ),
        _made(
            "previous-version-of-no-status",
            when=amid_the_change_to_v2(at_once(lose_the_status, delete("v1"))),
            then=without("v1", serves("v2", 2)),
        ),
        _made(
            "candidate-version",
            when=amid_the_change_to_v2(in_turn(delete("v2"), want("v1"), seconds=SOON_SECONDS)),
            then=without("v2", TWO),
        ),
        _made("rollout", when=amid_the_change_to_v2(delete("chat", "v1", "v2")), then=all_gone),
        _made("deployment-anew", when=at_once(delete("chat"), make_the_deployment_anew), then=TWO),
        _made(
            "version-anew",
            when=in_turn(delete("v2"), make_v2_anew, want("v2")),
            then=serves("v2", 2),
        ),
        _made("foreground", when=delete("chat", "v1", "v2", propagation="Foreground"), then=all_gone),
        _made("orphaning", when=delete("chat", propagation="Orphan"), then=pods_without_a_deployment),
        _made("by-force", when=delete("chat", "v1", "v2", grace_seconds=0), then=all_gone),
        _made(
            "finalizers-off",
            when=in_turn(delete("v1"), take_the_finalizers_off),
            then=without("v1", two_pods_serve),
        ),
        _made("held-by-others", when=in_turn(hold_it_and_ask_for_more, let_it_go), then=all_gone),
        _made("namespace", when=delete_the_namespace, then=no_namespace),
    )
}
"""By name."""
