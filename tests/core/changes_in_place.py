"""A cluster whose pods change what they serve, and what is asked of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from tests.builders import (
    ADeployment,
    digest,
)
from tests.core.cluster import Cluster
from tests.core.engines import Order
from tests.core.journeys import a_settled_cluster, step, turn_until

from sluicegate.core.plan import Reload

IN_PLACE = {"strategy": "HotReload", "observeSeconds": 5}
V1_POINTER = {"version": "v1", "digest": digest("v1")}


ENDS: dict[str, tuple[tuple[str, str, str], str]] = {
    "the files are wrong": (("Refused", "NotFinite", "model.norm.weight"), "HotReloadFailed"),
    "golden prompts fail": (("RolledBack", "GoldenPromptsFailed", "token 3"), "GoldenPromptsFailed"),
    "the copy fails": (("RolledBack", "ChecksumMismatch", "page 7"), "HotReloadFailed"),
}


def serving(replicas: int = 2, **rollout: Any) -> Cluster:
    """Version v1 serves, and others are to come into its pods."""
    chat = ADeployment().with_replicas(replicas).with_spec(rollout={**IN_PLACE, **rollout})
    cluster = a_settled_cluster(chat)
    cluster.log.clear()
    return cluster


def changing(replicas: int = 2, **rollout: Any) -> Cluster:
    """Version v1 serves, and v2 is to come into its pods."""
    cluster = serving(replicas, **rollout)
    cluster.edit(modelVersion="v2")
    return cluster


@cache
def _changed() -> Cluster:
    cluster = changing()
    cluster.settle()
    cluster.log.clear()
    return cluster


def changed() -> Cluster:
    """Version v2 has come into the two pods of v1 and is promoted."""
    return _changed().fork()


def at(wanted: str, cluster: Cluster) -> Cluster:
    """The cluster when its rollout has come to a step."""
    turn_until(cluster, lambda: step(cluster) == wanted)
    return cluster


def message(cluster: Cluster) -> str:
    return str(cluster.status["rollout"]["message"])


def served(cluster: Cluster) -> list[str]:
    return sorted(cluster.served(pod) for pod in cluster.pods())


def told(cluster: Cluster) -> list[tuple[str, str]]:
    return [(each.body["mode"], each.body["version"]) for each in orders(cluster)]


def orders(cluster: Cluster) -> list[Reload]:
    return [each for each in cluster.log if isinstance(each, Reload)]


def pointers(cluster: Cluster) -> list[str]:
    return [each["data"]["pointer.json"] for each in cluster.of_kind("ConfigMap")]


def in_its_pods(cluster: Cluster, version: str) -> None:
    """The version is in the pods that were there from the beginning, and everything says so."""
    assert set(served(cluster)) == {version}
    assert len(cluster.of_kind("ReplicaSet")) == 1
    assert cluster.answering() == {version}
    assert cluster.status["serving"]["version"] == version
    assert [f'"version": "{version}"' in each for each in pointers(cluster)] == [True]


def rollout_id(cluster: Cluster) -> str:
    return str((cluster.deployment.get("status") or {}).get("rollout", {}).get("id", "none"))


def late(cluster: Cluster, order: Order | None = None) -> dict[str, Any]:
    """A pod that starts with an older pointer, which the operator is to hear."""
    pod = cluster.pods()[0]
    old = replace(cluster.engine(pod), pointer=V1_POINTER, sequence=0, order=order, served=())
    cluster.engines[pod["metadata"]["uid"]] = old
    cluster.runtimes.pop(pod["metadata"]["uid"])
    return pod
