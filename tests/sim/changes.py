"""What users do, and what happens to clusters: the changes of workloads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.core.measured import measured
from tests.sim.beginnings import CHAT, V1, a_cluster_with
from tests.sim.clock import now
from tests.sim.cluster.pods import is_ready
from tests.sim.ends import rolled_back, rollout_of, status_of
from tests.sim.stage import Stage

from sluicegate.core import naming
from sluicegate.core.naming import ABORT, PROMOTE, RETRY
from sluicegate.core.objects import Manifest, name, uid
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, POD, REPLICA_SET, SERVICE

PEOPLE_SECONDS = 12_000.0
"""As long do people wait for a step: longer than the operator, without news, for all it has to see."""
Change = Callable[[Stage], Awaitable[None]]


async def no_change(stage: Stage) -> None:
    pass


async def apply_everything(stage: Stage) -> None:
    a_cluster_with(V1, CHAT)(stage)


async def more_replicas(stage: Stage) -> None:
    stage.edit(replicas=3)


async def fewer_replicas(stage: Stage) -> None:
    stage.edit(replicas=1)


async def more_and_later_fewer_replicas(stage: Stage) -> None:
    """What was wanted first is out of date while an operator that was stopped meanwhile is still at it."""
    stage.edit(replicas=3)
    await asyncio.sleep(30)
    stage.edit(replicas=1)


async def there_and_later_back(stage: Stage) -> None:
    """What an operator that stands still was about to delete is wanted again by the time it goes on."""
    stage.edit(modelVersion="v2")
    await asyncio.sleep(15)
    stage.edit(modelVersion="v1")
    await asyncio.sleep(60)


async def another_engine(stage: Stage) -> None:
    stage.edit(engine={"device": "CUDA", "maxConcurrentSequences": 7})


async def another_version(stage: Stage) -> None:
    stage.edit(modelVersion="v2")


async def another_version_that_somebody_promotes(stage: Stage) -> None:
    if rollout := await another_version_that_waits_for_somebody(stage):
        await asyncio.sleep(1)
        say(stage, PROMOTE, rollout)


async def another_version_that_waits_for_somebody(stage: Stage) -> str | None:
    """The rollout that waits for a person to promote it; None where it never comes to that."""
    stage.edit(modelVersion="v2")
    waits = await stage.until(lambda: rollout_of(stage).get("step") == "AwaitingPromotion", PEOPLE_SECONDS)
    return str(rollout_of(stage)["id"]) if waits else None


def say(stage: Stage, annotation: str, rollout: str) -> None:
    """A person's word on a rollout."""
    stage.patch(LLM_DEPLOYMENT, "chat", {"metadata": {"annotations": {annotation: rollout}}})


async def a_worse_version(stage: Stage) -> None:
    """One request in five fails, which is seen only once it serves."""
    stage.world.measured = {"v1": measured(), "v2": measured(800, error=200)}
    stage.edit(modelVersion="v2")


async def a_version_that_crashes_under_load(stage: Stage) -> None:
    """All its pods end within a moment of serving alone, and again at each start."""
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: rollout_of(stage).get("step") == "Observing", PEOPLE_SECONDS):
        stage.world.kubelet.trouble["v2"] = "crash"
        for pod in stage.pods():
            if stage.world.runtimes.version_for(pod) == "v2":
                stage.world.kubelet.crash(pod, "Error", now())


async def there_and_back(stage: Stage) -> None:
    stage.edit(modelVersion="v2")
    await stage.until(lambda: len(stage.names(REPLICA_SET)) == 2, 30)
    await asyncio.sleep(0.5)
    stage.edit(modelVersion="v1")


async def lose_the_new_pods_in_the_overlap(stage: Stage) -> None:
    """Both engines end while the Service selects the pods of both versions."""
    old = {name(pod) for pod in stage.pods()}
    stage.edit(modelVersion="v2")
    await stage.until(lambda: _everybody_serves(stage), 60)
    for pod in stage.pods():
        if name(pod) not in old:
            stage.world.kubelet.crash(pod, "OOMKilled", now())


def _everybody_serves(stage: Stage) -> bool:
    service = stage.find(SERVICE, "chat")
    return service is not None and naming.ROLLOUT not in service["spec"]["selector"]


async def lose_a_pod(stage: Stage) -> None:
    stage.delete(POD, name(stage.pods()[0]), grace_seconds=0)


async def lose_a_node(stage: Stage) -> None:
    """Returns when the cluster has noticed."""
    node = str(stage.pods()[0]["spec"]["nodeName"])
    stage.world.lose(node)
    await stage.until(lambda: any(not is_ready(pod) for pod in stage.pods()), 60)


async def run_out_of_memory(stage: Stage) -> None:
    stage.world.kubelet.crash(stage.pods()[0], "OOMKilled", now())


async def evict_a_pod(stage: Stage) -> None:
    stage.world.kubelet.evict(stage.pods()[0], "The node was low on resource: memory.")


async def add_to_what_is_ours(stage: Stage) -> None:
    """Somebody's tool writes into objects that the operator keeps."""
    stage.patch(SERVICE, "chat", {"spec": {"publishNotReadyAddresses": True}})
    for each in stage.names(CONFIG_MAP):
        stage.patch(CONFIG_MAP, each, {"data": {"theirs": "1"}})


async def delete_everything(stage: Stage) -> None:
    stage.delete(MODEL_VERSION, "v1")
    stage.delete(LLM_DEPLOYMENT, "chat")


def a_version_in_trouble(trouble: str) -> Change:
    """Another version, which this happens to."""

    async def change(stage: Stage) -> None:
        stage.world.kubelet.trouble["v2"] = trouble
        stage.edit(modelVersion="v2")

    return change


a_bad_version = a_version_in_trouble("crash")
a_version_that_answers_otherwise = a_version_in_trouble("wrong")
a_version_that_its_job_refuses = a_version_in_trouble("refused")
a_version_that_its_webhook_refuses = a_version_in_trouble("unwelcome")
a_version_that_pods_cannot_change_to = a_version_in_trouble("restart-required")
a_version_that_pods_go_back_from = a_version_in_trouble("rolled-back")


async def a_pod_ends_that_has_changed(stage: Stage) -> None:
    """Its container starts again, with what it changed to."""
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: has_changed(stage), 60):
        stage.world.kubelet.crash(has_changed(stage)[0], "OOMKilled", now())


def has_changed(stage: Stage) -> list[Manifest]:
    """The pods that serve v2."""
    running = stage.world.runtimes.running
    return [pod for pod in stage.pods() if uid(pod) in running and running[uid(pod)].version == "v2"]


async def a_third_version_while_pods_change(stage: Stage) -> None:
    stage.edit(modelVersion="v2")
    await stage.until(lambda: has_changed(stage), 60)
    stage.edit(modelVersion="v3")


async def a_bad_version_that_has_failed(stage: Stage) -> None:
    await a_bad_version(stage)
    assert await stage.until(lambda: rolled_back(stage), 120)


async def another_try(stage: Stage) -> None:
    """What was wrong with the version is over, and somebody says so."""
    stage.world.kubelet.trouble.clear()
    say(stage, RETRY, status_of(stage)["history"][0]["id"])


async def the_good_version_again(stage: Stage) -> None:
    stage.edit(modelVersion="v1")


async def a_correction(stage: Stage) -> None:
    stage.world.kubelet.trouble.clear()
    stage.edit(engine={"device": "CUDA", "maxConcurrentSequences": 7})


async def another_version_that_somebody_aborts(stage: Stage) -> None:
    await a_version_in_trouble("hang")(stage)
    if await stage.until(lambda: rollout_of(stage), PEOPLE_SECONDS):
        await asyncio.sleep(1)
        say(stage, ABORT, rollout_of(stage)["id"])


async def another_version_of_both(stage: Stage) -> None:
    stage.edit("chat", modelVersion="v2")
    stage.edit("search", modelVersion="v2")
