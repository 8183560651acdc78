"""A version that takes the place of another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.builders import STARTING, ADeployment
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster, step, turn_until

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation, labels

SWAP = {"strategy": "Swap", "observeSeconds": 20}


def changing(replicas: int = 2, **rollout: Any) -> Cluster:
    """Version v1 serves, and v2 is to take its place."""
    cluster = a_settled_cluster(ADeployment().with_replicas(replicas).with_spec(rollout={**SWAP, **rollout}))
    cluster.edit(modelVersion="v2")
    return cluster


def swapping(**rollout: Any) -> Cluster:
    """The pods of v1 are gone, and those of v2 come up."""
    cluster = changing(**rollout)
    cluster.trouble["v2"] = STARTING
    turn_until(cluster, lambda: step(cluster) == "Provisioning" and bool(cluster.pods()))
    assert wanted(cluster) == {"v1": 0, "v2": 2}
    return cluster


def observing(**rollout: Any) -> Cluster:
    """Version v2 has just taken over, and the Service has yet to answer."""
    cluster = changing(**rollout)
    turn_until(cluster, lambda: exposed(cluster) == "v2")
    cluster.reconcile()
    assert step(cluster) == "Observing"
    return cluster


def draining(**rollout: Any) -> Cluster:
    """The pods of v1 finish what they have, until a minute from now."""
    cluster = changing(**rollout)
    cluster.turn()
    cluster.reconcile()
    cluster.run_pods()
    end = timestamp(cluster.now + timedelta(minutes=1))
    for pod in cluster.pods():
        cluster.change(pod, lambda copy: copy["metadata"].update(deletionTimestamp=end))
    return cluster


def exposed(cluster: Cluster) -> str:
    return cluster.version_of(annotation(cluster.service, naming.EXPOSES) or "")


def wanted(cluster: Cluster) -> dict[str, int]:
    """Number of pods that each version is to have."""
    sets = cluster.of_kind("ReplicaSet")
    return {cluster.version_of(labels(each)[naming.ROLLOUT]): each["spec"]["replicas"] for each in sets}


def with_pods(cluster: Cluster) -> set[str]:
    return {cluster.version_of(labels(pod)[naming.ROLLOUT]) for pod in cluster.pods()}


def said(cluster: Cluster) -> str:
    return str(cluster.status["rollout"]["message"])
