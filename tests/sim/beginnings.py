"""What is there at the beginning of a workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.builders import a_golden_prompt, a_model_version, with_golden_prompts
from tests.sim.stage import ACCELERATORS, Stage, a_deployment

from sluicegate.core.naming import ABORT, PROMOTE, RETRY
from sluicegate.core.objects import Manifest

Begin = Callable[[Stage], None]


def a_cluster_with(*objects: Manifest) -> Begin:
    def begin(stage: Stage) -> None:
        for obj in objects:
            stage.create(obj)

    return begin


V1 = a_model_version("v1", ready=False)
V2 = a_model_version("v2", ready=False)
V3 = a_model_version("v3", ready=False)
HOT_RELOAD = {"strategy": "HotReload", "observeSeconds": 5}


def with_words_of_old(deployment: Manifest) -> Manifest:
    """What people said of a rollout that is long over counts for no other."""
    words = dict.fromkeys((PROMOTE, ABORT, RETRY), "0badc0de")
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": words}}


CHAT = with_words_of_old(a_deployment())
GOLDEN = with_golden_prompts(
    V2, a_golden_prompt(recordedWith="vllm 0.32.0 on nvidia.com/gpu --dtype=auto --kv-cache-dtype=auto")
)


def on_whole_nodes(name: str = "chat", replicas: int = 2, **rollout: Any) -> Manifest:
    """A deployment each pod of which takes all accelerators of a node; there are two nodes."""
    made = a_deployment(name, replicas=replicas, rollout={"observeSeconds": 5, **rollout})
    return {**made, "spec": {**made["spec"], "engine": {"device": "CUDA", "parallelism": {"tensor": 4}}}}


def with_a_place_for_one_more(stage: Stage) -> None:
    """Two deployments of one pod each, and a third node."""
    stage.world.nodes.add("node-c", **{"nvidia.com/gpu": ACCELERATORS})
    both = [on_whole_nodes(name, 1, capacity="Wait") for name in ("chat", "search")]
    a_cluster_with(V1, V2, *both)(stage)


def in_place(stage: Stage) -> None:
    """A deployment whose pods change what they serve."""
    a_cluster_with(V1, V2, V3, a_deployment(rollout=HOT_RELOAD))(stage)


CHATTING = a_cluster_with(V1, V2, CHAT)
OBSERVED = a_cluster_with(V1, V2, a_deployment(rollout={"observeSeconds": 5}))
ASKING = a_cluster_with(V1, V2, with_words_of_old(a_deployment(rollout={"promotion": "Manual"})))
REMEMBERING = a_cluster_with(V1, GOLDEN, CHAT)
ASKING_A_WEBHOOK = a_cluster_with(
    V1, V2, a_deployment(rollout={"verification": {"webhook": {"url": "http://gate.test/"}}})
)
TRYING = a_cluster_with(V1, V2, a_deployment(rollout={"verification": {"job": {"image": "tests:1"}}}))
