"""A version that has just taken over and is observed, and how it can fail."""

from __future__ import annotations

from typing import Any

from tests.builders import ADeployment, ended
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster, step, turn_until
from tests.core.measured import measured

SECONDS = 20
WATCHED = {"observeSeconds": SECONDS}
LOOPS = ended("CUDA error", restarts=3)
CRASHED = ended("CUDA error")


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


def loops(cluster: Cluster) -> None:
    cluster.trouble["v2"] = LOOPS
    cluster.run_pods()


def one_of_two_loops(cluster: Cluster) -> None:
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], LOOPS)


def crashes(cluster: Cluster) -> None:
    cluster.trouble["v2"] = CRASHED
    cluster.run_pods()


def loses_its_pods(cluster: Cluster) -> None:
    cluster.remove_pods(cluster.rollout_of("v2"))


def is_aborted(cluster: Cluster) -> None:
    cluster.annotate(abort=cluster.rollout_of("v2"))


def serves_other_files(cluster: Cluster) -> None:
    cluster.other_files["v2"] = "sha256:" + "f" * 64
    cluster.restart_operator()


def never_answers(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500"
    cluster.restart_operator()
    cluster.wipe_status()


def is_slower(cluster: Cluster) -> None:
    limits = {"comparison": {"maxTtftP95IncreasePercent": 50}}
    cluster.edit(rollout={"verification": limits})
    cluster.measured = {"v1": measured(), "v2": measured(first_token=300_000)}


def fails_requests(cluster: Cluster) -> None:
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
