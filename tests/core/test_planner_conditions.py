"""The whole list of conditions, and the one word for people, in each kind of world."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders import STARTING, ADeployment, ended, unschedulable
from tests.core.cluster import Cluster
from tests.core.journeys import JOURNEYS, a_cluster, a_settled_cluster, begun

BROKEN = ended("boom", restarts=3)


def _just_applied() -> Cluster:
    return a_cluster()


def _coming() -> Cluster:
    cluster = a_cluster()
    cluster.trouble["v1"] = STARTING
    for _ in range(3):
        cluster.turn()
    return cluster


def _settled() -> Cluster:
    return a_settled_cluster()


def _at_zero() -> Cluster:
    cluster = begun(JOURNEYS["down to zero"])
    cluster.settle()
    return cluster


def _broken_and_down_to_zero() -> Cluster:
    cluster = a_settled_cluster()
    cluster.trouble["v1"] = BROKEN
    cluster.run_pods()
    cluster.edit(replicas=0)
    return cluster


def _another_version_is_wanted() -> Cluster:
    return begun(JOURNEYS["another version"])


def _another_version_has_ready_pods() -> Cluster:
    cluster = _another_version_is_wanted()
    cluster.reconcile()
    cluster.run_pods()
    return cluster


def _both_versions_serve() -> Cluster:
    cluster = _another_version_has_ready_pods()
    while cluster.answering() != {"v1", "v2"}:
        cluster.reconcile()
    return cluster


def _both_versions_serve_and_an_unknown_one_is_wanted() -> Cluster:
    cluster = _both_versions_serve()
    cluster.edit(modelVersion="unknown")
    return cluster


def _the_version_before_drains() -> Cluster:
    cluster = _another_version_is_wanted()
    while cluster.answering() != {"v2"}:
        cluster.turn()
    return cluster


def _the_next_version_answers_and_the_one_before_drains() -> Cluster:
    cluster = _the_version_before_drains()
    cluster.reconcile()
    return cluster


def _one_of_two(status: dict[str, object]) -> Cluster:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.set_pod(cluster.pods()[0], status)
    return cluster


def _one_of_two_starts() -> Cluster:
    return _one_of_two(STARTING)


def _one_of_two_is_broken() -> Cluster:
    return _one_of_two(BROKEN)


def _one_of_two_finds_no_node() -> Cluster:
    return _one_of_two(unschedulable("no room"))


def _one_of_one_starts() -> Cluster:
    cluster = a_settled_cluster()
    cluster.set_pod(cluster.pods()[0], STARTING)
    return cluster


def _one_too_many() -> Cluster:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.edit(replicas=1)
    return cluster


def _an_extra_pod_that_is_not_ready() -> Cluster:
    cluster = _one_of_two_starts()
    cluster.edit(replicas=1)
    return cluster


def _unknown_first_version() -> Cluster:
    return a_cluster(ADeployment().of("unknown"))


def _unknown_version_at_zero() -> Cluster:
    return a_cluster(ADeployment().of("unknown").with_replicas(0))


def _unknown_next_version() -> Cluster:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="unknown")
    return cluster


def _nothing_remembered() -> Cluster:
    cluster = a_settled_cluster()
    cluster.wipe_status()
    cluster.restart_operator()
    return cluster


def _leaving() -> Cluster:
    cluster = a_settled_cluster()
    cluster.delete()
    return cluster


SERVES = {
    "Ready": "True Serving",
    "Available": "True Serving",
    "ModelReady": "True Verified",
    "WorkloadReady": "True PodsReady",
    "RouteReady": "True Promoted",
}
AT_ZERO = {
    **SERVES,
    "Ready": "True ScaledToZero",
    "Available": "False ScaledToZero",
    "WorkloadReady": "True ScaledToZero",
}


def comes(step: str, *, available: bool, workload: bool) -> dict[str, str]:
    """A version is on its way, at this step."""
    return {
        "Ready": f"False {step}",
        "Available": "True Serving" if available else "False NoReadyReplicas",
        "ModelReady": "True Verified",
        "WorkloadReady": "True PodsReady" if workload else "False NoReadyReplicas",
        "RouteReady": f"False {step}",
        "Reconciling": f"True {step}",
    }


def cannot(reason: str, *, available: bool) -> dict[str, str]:
    """Nothing can be made of what is wanted."""
    return {
        "Ready": f"False {reason}",
        "Available": "True Serving" if available else "False NoReadyReplicas",
        "ModelReady": f"False {reason}",
        "WorkloadReady": f"False {reason}",
        "RouteReady": f"False {reason}",
        "Stalled": f"True {reason}",
    }


WAITS = {**SERVES, "Ready": "False AwaitingAnswer"}
SCALES = {**SERVES, "Reconciling": "True Scaling"}

WORLDS: tuple[tuple[Callable[[], Cluster], str, dict[str, str]], ...] = (
    (_just_applied, "Pending", comes("Provisioning", available=False, workload=False)),
    (_coming, "Pending", comes("Provisioning", available=False, workload=False)),
    (_settled, "Ready", SERVES),
    (_at_zero, "Idle", AT_ZERO),
    (_broken_and_down_to_zero, "Idle", {**AT_ZERO, "Reconciling": "True Scaling"}),
    (_another_version_is_wanted, "Rolling", comes("Provisioning", available=True, workload=False)),
    (_another_version_has_ready_pods, "Rolling", comes("Verifying", available=True, workload=True)),
    (_both_versions_serve, "Rolling", comes("Cutover", available=True, workload=True)),
    (
        _both_versions_serve_and_an_unknown_one_is_wanted,
        "Stalled",
        cannot("ModelVersionNotFound", available=True),
    ),
    (_the_version_before_drains, "Rolling", {**WAITS, "Reconciling": "True Draining"}),
    (
        _the_next_version_answers_and_the_one_before_drains,
        "Ready",
        {**SERVES, "Reconciling": "True Draining"},
    ),
    (_one_of_two_starts, "Degraded", SCALES),
    (_one_of_two_is_broken, "Stalled", {**SERVES, "Stalled": "True EngineCrashLooping"}),
    (_one_of_two_finds_no_node, "Degraded", {**SERVES, "Reconciling": "True Unschedulable"}),
    (
        _one_of_one_starts,
        "Pending",
        {
            **SCALES,
            "Ready": "False NoReadyReplicas",
            "Available": "False NoReadyReplicas",
            "WorkloadReady": "False NoReadyReplicas",
        },
    ),
    (_one_too_many, "Degraded", SCALES),
    (_an_extra_pod_that_is_not_ready, "Degraded", SCALES),
    (_unknown_first_version, "Stalled", cannot("ModelVersionNotFound", available=False)),
    (
        _unknown_version_at_zero,
        "Stalled",
        {**cannot("ModelVersionNotFound", available=False), "Available": "False ScaledToZero"},
    ),
    (_unknown_next_version, "Stalled", cannot("ModelVersionNotFound", available=True)),
    (_nothing_remembered, "Rolling", {**WAITS, "Reconciling": "True AwaitingAnswer"}),
    (_leaving, "Terminating", {**SERVES, "Ready": "False Terminating", "Reconciling": "True Terminating"}),
)


@pytest.mark.parametrize(
    ("world", "phase", "expected"), WORLDS, ids=[world.__name__.strip("_") for world, _, _ in WORLDS]
)
def test_the_conditions_of_a_world(
    world: Callable[[], Cluster], phase: str, expected: dict[str, str]
) -> None:
    cluster = world()
    cluster.reconcile()
    found = {each["type"]: f"{each['status']} {each['reason']}" for each in cluster.status["conditions"]}
    assert found == expected
    assert cluster.status["phase"] == phase
