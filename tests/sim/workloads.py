"""What users and clusters do to an operator: each workload is a beginning, a change, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.builders import a_golden_prompt, a_model_version, with_golden_prompts
from tests.core.measured import measured
from tests.sim.clock import now
from tests.sim.cluster.pods import is_ready
from tests.sim.stage import ACCELERATORS, Stage, a_deployment

from sluicegate.core import naming
from sluicegate.core.naming import ABORT, PROMOTE, RETRY
from sluicegate.core.objects import Manifest, name, uid
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, POD, REPLICA_SET, SERVICE

PEOPLE_SECONDS = 12_000.0
"""As long do people wait for a step: longer than the operator, without news, for all it has to see."""

Begin = Callable[[Stage], None]
Change = Callable[[Stage], Awaitable[None]]
Reached = Callable[[Stage], object]


async def no_change(stage: Stage) -> None:
    pass


@dataclass(frozen=True)
class Workload:
    """`given` makes the objects and `settled` says when the beginning is reached; then comes the change.

    `before` is what happens between the two, without faults. `outage_seconds` is for how long requests may
    fail: for as long as what is lost was all there was.
    """

    name: str
    given: Begin
    settled: Reached
    when: Change
    then: Reached
    outage_seconds: float = 0.0
    seconds: float = 60.0
    before: Change = no_change


def a_cluster_with(*objects: Manifest) -> Begin:
    def begin(stage: Stage) -> None:
        for obj in objects:
            stage.create(obj)

    return begin


V1 = a_model_version("v1", ready=False)
V2 = a_model_version("v2", ready=False)
V3 = a_model_version("v3", ready=False)


def with_words_of_old(deployment: Manifest) -> Manifest:
    """What people said of a rollout that is long over counts for no other."""
    words = dict.fromkeys((PROMOTE, ABORT, RETRY), "0badc0de")
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": words}}


CHAT = with_words_of_old(a_deployment())
GOLDEN = with_golden_prompts(
    V2, a_golden_prompt(recordedWith="vllm 0.32.0 on nvidia.com/gpu --dtype=auto --kv-cache-dtype=auto")
)


def serves(version: str, pods: int) -> Reached:
    def reached(stage: Stage) -> bool:
        ready = [pod for pod in stage.pods() if is_ready(pod)]
        right = len(ready) == len(stage.pods()) == pods and len(stage.names(REPLICA_SET)) == 1
        return right and stage.is_ready(version)

    return reached


def nothing(stage: Stage) -> bool:
    return True


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
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: rollout_of(stage).get("step") == "AwaitingPromotion", PEOPLE_SECONDS):
        await asyncio.sleep(1)
        say(stage, PROMOTE, rollout_of(stage)["id"])


def say(stage: Stage, annotation: str, rollout: str) -> None:
    """A person's word on a rollout."""
    stage.patch(LLM_DEPLOYMENT, "chat", {"metadata": {"annotations": {annotation: rollout}}})


def rollout_of(stage: Stage) -> Manifest:
    """What the status tells of the change in progress; empty where it tells of none."""
    return _status(stage).get("rollout") or {}


def _status(stage: Stage) -> Manifest:
    return (stage.find(LLM_DEPLOYMENT, "chat") or {}).get("status") or {}


async def a_worse_version(stage: Stage) -> None:
    """One request in five fails, which is seen only once it serves."""
    stage.world.measured = {"v1": measured(), "v2": measured(800, error=200)}
    stage.edit(modelVersion="v2")


async def a_version_that_crashes_under_load(stage: Stage) -> None:
    """All its pods end within a moment of serving alone, and again at each start."""
    stage.edit(modelVersion="v2")
    if await stage.until(lambda: rollout_of(stage).get("step") == "Observing", 120):
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


def nothing_added(stage: Stage) -> bool:
    service, pointers = stage.find(SERVICE, "chat"), stage.server.peek(CONFIG_MAP)
    added = service is None or service["spec"].get("publishNotReadyAddresses")
    return TWO(stage) and not added and not any("theirs" in each["data"] for each in pointers)


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
    say(stage, RETRY, _status(stage)["history"][0]["id"])


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


def rolled_back(stage: Stage) -> bool:
    """Whether what served alone is left, and says so of a version that failed."""
    ready = [pod for pod in stage.pods() if is_ready(pod)]
    alone = len(ready) == len(stage.pods()) == 2 and len(stage.names(REPLICA_SET)) == 1
    return alone and stage.reason("Stalled") == "RolledBack"


def changed_back(stage: Stage) -> bool:
    """Whether it says so, and no pod has yet to change."""
    return rolled_back(stage) and not rollout_of(stage)


def all_gone(stage: Stage) -> bool:
    kinds = (LLM_DEPLOYMENT, MODEL_VERSION, REPLICA_SET, POD)
    return not any(stage.names(kind) for kind in kinds)


def on_whole_nodes(name: str = "chat", replicas: int = 2, **rollout: object) -> Manifest:
    """A deployment each pod of which takes all accelerators of a node; there are two nodes."""
    made = a_deployment(name, replicas=replicas, rollout={"observeSeconds": 5, **rollout})
    return {**made, "spec": {**made["spec"], "engine": {"device": "CUDA", "parallelism": {"tensor": 4}}}}


def with_a_place_for_one_more(stage: Stage) -> None:
    """Two deployments of one pod each, and a third node."""
    stage.world.nodes.add("node-c", **{"nvidia.com/gpu": ACCELERATORS})
    both = [on_whole_nodes(name, 1, capacity="Wait") for name in ("chat", "search")]
    a_cluster_with(V1, V2, *both)(stage)


def both_serve(version: str) -> Reached:
    def reached(stage: Stage) -> bool:
        right = len(stage.pods()) == len(stage.names(REPLICA_SET)) == 2
        return right and all(stage.is_ready(version, name) for name in ("chat", "search"))

    return reached


def in_place(stage: Stage) -> None:
    """A deployment whose pods change what they serve."""
    chat = a_deployment(rollout={"strategy": "HotReload", "observeSeconds": 5})
    a_cluster_with(V1, V2, V3, chat)(stage)


CHATTING = a_cluster_with(V1, V2, CHAT)
OBSERVED = a_cluster_with(V1, V2, a_deployment(rollout={"observeSeconds": 5}))
ASKING = a_cluster_with(V1, V2, with_words_of_old(a_deployment(rollout={"promotion": "Manual"})))
REMEMBERING = a_cluster_with(V1, GOLDEN, CHAT)
ASKING_A_WEBHOOK = a_cluster_with(
    V1, V2, a_deployment(rollout={"verification": {"webhook": {"url": "http://gate.test/"}}})
)
TRYING = a_cluster_with(V1, V2, a_deployment(rollout={"verification": {"job": {"image": "tests:1"}}}))
TWO = serves("v1", 2)


def _chatting(name: str, change: Change, end: Reached, **limits: float) -> Workload:
    return Workload(name, CHATTING, TWO, change, end, **limits)


def _remembering(name: str, change: Change, end: Reached) -> Workload:
    return Workload(name, REMEMBERING, TWO, change, end, seconds=90)


def _tried(name: str, change: Change, end: Reached) -> Workload:
    """A Job has to let each version pass."""
    return Workload(name, TRYING, TWO, change, end, seconds=90)


def _observed(name: str, change: Change, end: Reached, **limits: float) -> Workload:
    return Workload(name, OBSERVED, TWO, change, end, **limits)


def _full(name: str, change: Change, end: Reached, **rollout: object) -> Workload:
    """Nobody answers until the new pods do, or the old ones again: as long as nothing is heard of them."""
    given = a_cluster_with(V1, V2, on_whole_nodes(**rollout))
    return Workload(name, given, TWO, change, end, outage_seconds=900, seconds=180)


def _in_place(name: str, change: Change, end: Reached, **limits: float) -> Workload:
    return Workload(name, in_place, TWO, change, end, **limits)


def _failed(name: str, change: Change, version: str) -> Workload:
    """What is done about a version that has failed; another one serves in the end, or the same."""
    before = a_bad_version_that_has_failed
    return Workload(name, CHATTING, TWO, change, serves(version, 2), before=before)


WORKLOADS = {
    each.name: each
    for each in (
        Workload("create", a_cluster_with(), nothing, apply_everything, TWO),
        _chatting("scale-up", more_replicas, serves("v1", 3)),
        _chatting("scale-down", fewer_replicas, serves("v1", 1)),
        _chatting("engine-change", another_engine, TWO),
        _observed("version-change", another_version, serves("v2", 2)),
        _chatting("there-and-back", there_and_back, TWO),
        Workload(
            "manual-promotion",
            ASKING,
            TWO,
            another_version_that_somebody_promotes,
            serves("v2", 2),
            seconds=90,
        ),
        _chatting("rolled-back", a_bad_version, rolled_back, seconds=180),
        _observed("regression-observed", a_worse_version, rolled_back, seconds=90),
        _observed(
            "crash-after-cutover",
            a_version_that_crashes_under_load,
            rolled_back,
            outage_seconds=2,
            seconds=180,
        ),
        _full("swap", another_version, serves("v2", 2), strategy="Swap"),
        _full("swap-restored", a_bad_version, rolled_back, strategy="Swap"),
        _full("surge-then-swap", another_version, serves("v2", 2), capacity="SurgeThenSwap"),
        _in_place("hot-reload", another_version, serves("v2", 2)),
        _in_place(
            "hot-reload-in-new-pods", a_version_that_pods_cannot_change_to, serves("v2", 2), seconds=90
        ),
        _in_place("hot-reload-rolled-back", a_version_that_pods_go_back_from, changed_back),
        _in_place("hot-reload-regression", a_worse_version, changed_back, seconds=90),
        _in_place(
            "hot-reload-crash",
            a_pod_ends_that_has_changed,
            serves("v2", 2),
            outage_seconds=2,
            seconds=120,
        ),
        _in_place("hot-reload-superseded", a_third_version_while_pods_change, serves("v3", 2), seconds=90),
        Workload(
            "one-place-for-two",
            with_a_place_for_one_more,
            both_serve("v1"),
            another_version_of_both,
            both_serve("v2"),
            seconds=120,
        ),
        _chatting("aborted", another_version_that_somebody_aborts, rolled_back, seconds=120),
        _failed("bad-version", the_good_version_again, "v1"),
        _remembering("golden-answer", another_version, serves("v2", 2)),
        _remembering("wrong-golden-answer", a_version_that_answers_otherwise, rolled_back),
        _tried("job-passes", another_version, serves("v2", 2)),
        _tried("job-fails", a_version_that_its_job_refuses, rolled_back),
        Workload("webhook-agrees", ASKING_A_WEBHOOK, TWO, another_version, serves("v2", 2)),
        Workload("webhook-refuses", ASKING_A_WEBHOOK, TWO, a_version_that_its_webhook_refuses, rolled_back),
        _failed("retried", another_try, "v2"),
        _failed("corrected", a_correction, "v2"),
        _chatting("pod-loss", lose_a_pod, TWO, outage_seconds=2),
        _chatting("eviction", evict_a_pod, TWO, outage_seconds=2),
        _chatting("out-of-memory", run_out_of_memory, TWO, outage_seconds=2),
        _chatting("node-loss", lose_a_node, TWO, outage_seconds=600, seconds=900),
        Workload("delete", a_cluster_with(V1, CHAT), TWO, delete_everything, all_gone),
    )
}
"""By name, those that every class of faults goes through."""

VARIANTS = (
    "there-and-back",
    "bad-version",
    "rolled-back",
    "manual-promotion",
    "regression-observed",
    "crash-after-cutover",
    "swap",
    "swap-restored",
    "surge-then-swap",
    "hot-reload-in-new-pods",
    "hot-reload-rolled-back",
    "hot-reload-regression",
    "hot-reload-crash",
    "hot-reload-superseded",
    "one-place-for-two",
    "aborted",
    "golden-answer",
    "wrong-golden-answer",
    "job-passes",
    "job-fails",
    "webhook-agrees",
    "webhook-refuses",
    "retried",
    "corrected",
    "eviction",
    "out-of-memory",
)
"""Those that ask for much the same as others do."""

OTHERS = {
    each.name: each
    for each in (
        _chatting("scaled-twice", more_and_later_fewer_replicas, serves("v1", 1), seconds=120),
        _chatting("there-and-later-back", there_and_later_back, TWO, seconds=120),
        _chatting("added-to", add_to_what_is_ours, nothing_added),
        _chatting("lost-in-the-overlap", lose_the_new_pods_in_the_overlap, serves("v2", 2), seconds=120),
    )
}
"""By name, those that are for one class of faults; so are deletions.py's."""
