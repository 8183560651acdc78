"""Journeys from one settled world to another, interrupted wherever they can be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.builders import ADeployment
from tests.core.cluster import Cluster
from tests.core.journeys import JOURNEYS, Journey, a_cluster, a_settled_cluster, begun, moments

from sluicegate.core.plan import Create, Delete
from sluicegate.core.rollout import OVERLAP, PROPAGATION

every_journey = pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS)


@every_journey
def test_a_journey_ends_ready_and_is_then_left_alone(journey: Journey) -> None:
    cluster = begun(journey)
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert "Stalled" not in {each["type"] for each in cluster.status["conditions"]}
    written = len(cluster.log)
    for hours in (1, 24, 24 * 30):
        cluster.pass_time(hours=hours)
        plan = cluster.reconcile()
        assert plan.actions == ()
        assert plan.events == ()
        assert plan.requeue_after is None
    assert len(cluster.log) == written


@every_journey
def test_a_crash_after_any_write_still_ends_in_the_same_world(journey: Journey) -> None:
    cluster = begun(journey)
    reference = cluster.fork()
    reference.settle()
    interrupted = 0
    for moment in moments(cluster):
        for written in range(len(moment.plan().actions)):
            other = moment.fork()
            other.reconcile(crash_after=written)
            other.restart_operator()
            other.settle()
            assert other.shape() == reference.shape()
            interrupted += 1
    assert interrupted or journey is JOURNEYS["nothing at all"]


@every_journey
def test_a_status_wiped_at_any_moment_comes_back_and_changes_nothing_else(journey: Journey) -> None:
    cluster = begun(journey)
    reference = cluster.fork()
    reference.settle()
    for moment in moments(cluster):
        moment.wipe_status()
        moment.settle()
        assert moment.shape() == reference.shape()


@every_journey
def test_a_status_of_another_operator_is_taken_as_lost(journey: Journey) -> None:
    cluster = begun(journey)
    reference = cluster.fork()
    reference.settle()
    for moment in moments(cluster):
        moment.set_status({"phase": "Observing", "serving": "v9", "conditions": "none"})
        moment.settle()
        assert moment.shape() == reference.shape()


@every_journey
def test_an_operator_that_restarts_at_any_moment_ends_in_the_same_world(journey: Journey) -> None:
    cluster = begun(journey)
    reference = cluster.fork()
    reference.settle()
    for moment in moments(cluster):
        moment.restart_operator()
        moment.settle()
        assert moment.shape() == reference.shape()


LOSSES = {
    "the Service": (("Service", "chat"),),
    "the preview Service": (("Service", "chat-preview"),),
    "the disruption budget": (("PodDisruptionBudget", "chat"),),
    "the network policy": (("NetworkPolicy", "chat"),),
    "the control Secret": (("Secret", "chat-control"),),
    "every pointer": (("ConfigMap", None),),
    "every record": (("ControllerRevision", None),),
    "every ReplicaSet": (("ReplicaSet", None),),
    "Service and status": (("Service", "chat"), ("status", None)),
    "budget and status": (("PodDisruptionBudget", "chat"), ("status", None)),
    "Service and disruption budget": (("Service", "chat"), ("PodDisruptionBudget", "chat")),
    "every pod": (("Pod", None),),
}


def lose(cluster: Cluster, *lost: tuple[str, str | None]) -> None:
    for kind, name in lost:
        if kind == "status":
            cluster.wipe_status()
        for obj in cluster.of_kind(kind):
            if name in (None, obj["metadata"]["name"]):
                cluster.remove(obj)


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    "journey", [JOURNEYS["another version"], JOURNEYS["the first apply"]], ids=["cutover", "first apply"]
)
def test_what_is_deleted_by_hand_at_any_moment_is_made_again(
    journey: Journey, lost: tuple[tuple[str, str | None], ...]
) -> None:
    cluster = begun(journey)
    reference = cluster.fork()
    reference.settle()
    for moment in moments(cluster):
        lose(moment, *lost)
        moment.settle()
        if lost == LOSSES["every record"]:
            # What is over is told of no more; what serves is on record again.
            moment.forget_the_past()
            wanted = reference.fork()
            wanted.forget_the_past()
            assert moment.shape() == wanted.shape()
            continue
        assert moment.shape() == reference.shape()


@pytest.mark.parametrize("lost", ["Service and status", "Service and disruption budget", "the Service"])
def test_the_version_that_serves_keeps_its_pods_when_the_service_is_lost_in_a_rollout(lost: str) -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.turn()
    cluster.trouble["v2"] = {"conditions": []}
    lose(cluster, *LOSSES[lost])
    for _ in range(8):
        cluster.turn()
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1", "v2"]


def test_going_back_at_any_moment_of_a_rollout_ends_with_the_first_version_alone() -> None:
    for moment in moments(begun(JOURNEYS["another version"])):
        moment.edit(modelVersion="v1")
        moment.settle()
        assert moment.versions() == ["v1"]
        assert moment.answering() == {"v1"}
        assert moment.condition("Ready")["status"] == "True"


def test_going_back_before_the_cutover_keeps_the_pods_that_serve() -> None:
    cluster = begun(JOURNEYS["another version"])
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.turn()
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before


def test_a_third_version_at_any_moment_of_a_rollout_ends_with_it_alone() -> None:
    for moment in moments(begun(JOURNEYS["another version"])):
        moment.edit(modelVersion="v3")
        moment.settle()
        assert moment.versions() == ["v3"]
        assert moment.answering() == {"v3"}


def test_a_third_version_and_back_again_at_any_two_moments() -> None:
    for first in moments(begun(JOURNEYS["another version"])):
        first.edit(modelVersion="v3")
        for second in list(moments(first))[::4]:
            second.edit(modelVersion="v1")
            second.settle()
            assert second.versions() == ["v1"]
            assert second.answering() == {"v1"}


def test_scaling_at_any_moment_of_a_rollout_ends_with_that_many_pods() -> None:
    for moment in moments(begun(JOURNEYS["another version"])):
        for replicas in (0, 3):
            other = moment.fork()
            other.edit(replicas=replicas)
            other.settle()
            assert other.versions() == ["v2"]
            assert len(other.pods()) == replicas


def test_each_number_of_replicas_is_reached_in_turn() -> None:
    cluster = a_settled_cluster()
    for replicas in (2, 1, 0, 1, 3, 0, 0, 2):
        cluster.edit(replicas=replicas)
        cluster.settle()
        assert len(cluster.pods()) == replicas
        assert cluster.status["replicas"] == cluster.status["readyReplicas"] == replicas
        reason = "Serving" if replicas else "ScaledToZero"
        assert (cluster.condition("Ready")["status"], cluster.condition("Ready")["reason"]) == (
            "True",
            reason,
        )
        assert cluster.status["phase"] == ("Ready" if replicas else "Idle")


def test_scaling_up_does_not_make_ready_flap() -> None:
    cluster = a_settled_cluster()
    since = cluster.condition("Ready")["lastTransitionTime"]
    cluster.edit(replicas=5)
    for _ in range(6):
        cluster.turn()
        assert cluster.condition("Ready")["status"] == "True"
        assert cluster.condition("Ready")["lastTransitionTime"] == since


def test_a_pod_that_dies_among_two_leaves_the_deployment_ready() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.remove(cluster.pods()[0])
    cluster.reconcile()
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Reconciling")["reason"] == "Scaling"
    assert cluster.status["phase"] == "Degraded"
    cluster.settle()
    assert cluster.status["phase"] == "Ready"


def test_the_only_pod_dying_is_told_at_once_and_ready_again_only_after_an_answer() -> None:
    cluster = a_settled_cluster()
    cluster.remove(cluster.pods()[0])
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "NoReadyReplicas"
    cluster.run_pods()
    assert cluster.reconcile().actions != ()
    assert cluster.condition("Ready")["reason"] == "AwaitingAnswer"
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "AwaitingAnswer"  # asked in the second that it was lost
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == "Serving"


def test_an_evicted_pod_that_stays_as_a_record_does_not_count() -> None:
    cluster = a_settled_cluster()
    cluster.put({**cluster.pods()[0], "metadata": {**cluster.pods()[0]["metadata"], "name": "evicted"}})
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    cluster.set_pod(cluster.one("Pod", "evicted"), evicted)
    cluster.reconcile()
    assert cluster.status["replicas"] == 1
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Reconciling") == {}


def test_a_deployment_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    cluster = a_settled_cluster()
    cluster.delete()
    lose(cluster, ("Service", "chat"))
    assert cluster.reconcile().actions == ()
    assert cluster.status["phase"] == "Terminating"
    ready, moving = cluster.condition("Ready"), cluster.condition("Reconciling")
    assert (ready["status"], ready["reason"], moving["reason"]) == ("False", "Terminating", "Terminating")


def test_children_come_before_what_needs_them() -> None:
    cluster = a_cluster()
    kinds = [a.manifest["kind"] for a in cluster.plan().actions if isinstance(a, Create)]
    assert kinds == [
        "Secret",
        "NetworkPolicy",
        "ControllerRevision",
        "ConfigMap",
        "ReplicaSet",
        "Service",
        "Service",
    ]


def test_a_colour_leaves_its_pods_first_then_its_pointer_and_its_record_stays() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.settle()
    deleted = [action.ref.kind for action in cluster.log if isinstance(action, Delete)]
    assert deleted == ["ReplicaSet", "ConfigMap"]


def test_pods_that_drain_keep_the_records_that_they_were_made_from() -> None:
    cluster = begun(JOURNEYS["another version"])
    while "v1" in cluster.versions():
        cluster.turn()
    for _ in range(5):
        cluster.reconcile()
        cluster.pass_time(seconds=10)
    assert len(cluster.pods()) == 2
    assert len(cluster.of_kind("ConfigMap")) == len(cluster.of_kind("ControllerRevision")) == 2
    cluster.settle()
    assert len(cluster.of_kind("ConfigMap")) == 1
    assert len(cluster.of_kind("ControllerRevision")) == 2


def test_each_wait_of_a_cutover_ends_by_itself() -> None:
    cluster = begun(JOURNEYS["another version"])
    waits = []
    while "v1" in cluster.versions():
        cluster.reconcile()
        cluster.run_pods()
        plan = cluster.plan()
        if not plan.actions:
            waits.append(plan.requeue_after)
            cluster.now += plan.requeue_after or timedelta(0)
    assert waits == [OVERLAP, PROPAGATION, None]
