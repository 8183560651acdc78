"""What people do in the midst of a rollout: each deed, and the end that it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from functools import partial

from tests.sim.beginnings import V1, V2, V3, Begin, a_cluster_with, in_place, on_whole_nodes
from tests.sim.changes import (
    another_version,
    say,
)
from tests.sim.ends import TWO, Reached, changed_back, rollout_of, serves
from tests.sim.stage import Stage, a_deployment
from tests.sim.workloads import Workload

from sluicegate.core.naming import ABORT
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, POD

Deed = Callable[[Stage], None]

HELD_SECONDS = 20.0
GIVEN = a_cluster_with(V1, V2, V3, a_deployment(rollout={"observeSeconds": 5}))
IN_PLACE, SWAPPING = "in-place-", "swapping-"
"""Before the name of a deed: the rollout goes into the running pods, or old ones make room for its own."""


def wants(version: str) -> Deed:
    return lambda stage: stage.edit(modelVersion=version)


def wants_replicas(count: int) -> Deed:
    return lambda stage: stage.edit(replicas=count)


def wants_a_third_for_a_moment(stage: Stage) -> None:
    stage.edit(modelVersion="v3")
    _later(stage, 0.5, wants("v2"))


def goes_back_and_forth(stage: Stage) -> None:
    stage.edit(modelVersion="v1")
    _later(stage, 2.0, wants("v2"))


def pauses(stage: Stage) -> None:
    stage.edit(paused=True)
    _later(stage, HELD_SECONDS, lambda stage: stage.edit(paused=False))


def aborts(stage: Stage) -> None:
    """What the status tells of; of nothing, something else that nobody knows."""
    say(stage, ABORT, rollout_of(stage).get("id", "0badc0de"))


def deletes_the_deployment(stage: Stage) -> None:
    stage.delete(LLM_DEPLOYMENT, "chat")


def deletes_the_version(stage: Stage) -> None:
    """It is used: it goes when nobody needs it any more."""
    stage.delete(MODEL_VERSION, "v2")
    _later(stage, HELD_SECONDS, wants("v1"))


def loses_a_pod(stage: Stage) -> None:
    for pod in stage.pods()[:1]:
        stage.delete(POD, pod["metadata"]["name"])


def promoted_or_not(stage: Stage) -> bool:
    return bool(serves("v2", 2)(stage) or changed_back(stage))


def none_left(stage: Stage) -> bool:
    return stage.reason("Ready") == "ScaledToZero" and not stage.pods()


def v2_is_gone(stage: Stage) -> bool:
    return bool(TWO(stage)) and "v2" not in stage.names(MODEL_VERSION)


def the_deployment_is_gone(stage: Stage) -> bool:
    return not stage.names(LLM_DEPLOYMENT) and not stage.pods()


DEEDS: dict[str, tuple[Deed, Reached]] = {
    "wants-the-first-again": (wants("v1"), TWO),
    "wants-a-third": (wants("v3"), serves("v3", 2)),
    "wants-a-third-for-a-moment": (wants_a_third_for_a_moment, serves("v2", 2)),
    "goes-back-and-forth": (goes_back_and_forth, serves("v2", 2)),
    "wants-more-replicas": (wants_replicas(3), serves("v2", 3)),
    "wants-fewer-replicas": (wants_replicas(1), serves("v2", 1)),
    "wants-no-replicas": (wants_replicas(0), none_left),
    "pauses": (pauses, serves("v2", 2)),
    "aborts": (aborts, promoted_or_not),
    "deletes-the-deployment": (deletes_the_deployment, the_deployment_is_gone),
    "deletes-the-version": (deletes_the_version, v2_is_gone),
    "loses-a-pod": (loses_a_pod, serves("v2", 2)),
}
"""By what somebody does."""

OF_A_SWAP = ("pauses", "aborts")
"""What is done in the midst of a swap, where fewer deeds make a difference."""

GAP_SECONDS = 20.0
"""For so long nobody answers in a swap, whoever pauses it once it has begun."""

OUTAGES = {"wants-no-replicas": 120.0, "deletes-the-deployment": 120.0, "loses-a-pod": 2.0}
"""Seconds for which requests may fail: nobody is to answer them, or who was asked is gone."""

CALM = "nobody-minds"


def calm(mind: str) -> str:
    """The same rollout, which nobody meddles with."""
    return next((f"{each}{CALM}" for each in (IN_PLACE, SWAPPING) if mind.startswith(each)), CALM)


def deed(mind: str) -> Deed:
    act, _ = DEEDS[mind.removeprefix(IN_PLACE).removeprefix(SWAPPING)]
    return act


def swapping(stage: Stage) -> None:
    """A deployment whose pods take all that there is."""
    a_cluster_with(V1, V2, V3, on_whole_nodes(strategy="Swap"))(stage)


def _minds(
    prefix: str, given: Begin, deeds: Collection[str] = DEEDS, gap_seconds: float = 0
) -> Iterator[Workload]:
    yield Workload(
        f"{prefix}{CALM}", given, TWO, another_version, serves("v2", 2), outage_seconds=gap_seconds
    )
    for name in deeds:
        _, end = DEEDS[name]
        outage = max(OUTAGES.get(name, 0.0), gap_seconds)
        yield Workload(
            f"{prefix}{name}", given, TWO, another_version, end, outage_seconds=outage, seconds=150
        )


MINDS = {
    each.name: each
    for each in (
        *_minds("", GIVEN),
        *_minds(IN_PLACE, in_place),
        *_minds(SWAPPING, swapping, OF_A_SWAP, GAP_SECONDS),
    )
}
"""By name: the rollouts that nobody meddles with, and the same with the end of each deed."""


def _later(stage: Stage, seconds: float, deed: Deed) -> None:
    asyncio.get_running_loop().call_later(seconds, partial(deed, stage))
