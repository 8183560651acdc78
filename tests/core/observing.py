"""A version that has just taken over and is observed."""

from __future__ import annotations

from typing import Any

from tests.builders import ADeployment
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster, step, turn_until

SECONDS = 20
WATCHED = {"observeSeconds": SECONDS}


def changing(replicas: int = 1, **rollout: Any) -> Cluster:
    """Version v1 serves, and v2 is wanted and to be observed."""
    deployment = ADeployment().with_replicas(replicas).with_spec(rollout={**WATCHED, **rollout})
    cluster = a_settled_cluster(deployment)
    cluster.edit(modelVersion="v2")
    return cluster


def observing(replicas: int = 1, **rollout: Any) -> Cluster:
    """Version v2 has just taken over alone."""
    cluster = changing(replicas, **rollout)
    turn_until(cluster, lambda: cluster.answering() == {"v2"})
    cluster.reconcile()
    assert step(cluster) == "Observing"
    return cluster


def reasons(cluster: Cluster) -> dict[str, str]:
    return {each["type"]: f"{each['status']} {each['reason']}" for each in cluster.status["conditions"]}
