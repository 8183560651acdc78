"""How version v2 can fail beside v1."""

from __future__ import annotations

from tests.builders import ended
from tests.core.cluster import Cluster
from tests.core.measured import measured

LOOPS = ended("CUDA error", restarts=3)
CRASHED = ended("CUDA error")


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
