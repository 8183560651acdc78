"""Whose pods the status counts, and what it keeps of a rollout from one pass to the next."""

from __future__ import annotations

from datetime import timedelta

from tests.builders import STARTING, ADeployment
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import JOURNEYS, a_cluster, a_settled_cluster, begun

from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.core.conditions import timestamp
from sluicegate.core.naming import colour_name
from sluicegate.core.under_way import STEPS


def counts(cluster: Cluster) -> tuple[int, int, str]:
    status = cluster.status
    return status["replicas"], status["readyReplicas"], status["replicaSummary"]


def test_before_there_is_anything_nothing_is_counted() -> None:
    cluster = Cluster(ADeployment().of("unknown").with_replicas(2).build())
    cluster.settle()
    assert counts(cluster) == (0, 0, "0/2")


def test_pods_that_come_up_are_counted_while_nobody_serves() -> None:
    cluster = a_cluster(ADeployment().with_replicas(2))
    cluster.trouble["v1"] = STARTING
    for _ in range(3):
        cluster.turn()
    assert counts(cluster) == (2, 0, "0/2")


def test_more_pods_of_what_serves_come_together_with_another_version() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.edit(modelVersion="v2", replicas=3)
    cluster.reconcile()
    assert [each["spec"]["replicas"] for each in cluster.of_kind("ReplicaSet")] == [3, 3]


def test_the_pods_that_serve_are_counted_while_others_come_up() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2", replicas=3)
    for _ in range(3):
        cluster.turn()
    assert counts(cluster) == (3, 3, "3/3")


def test_the_pods_that_are_switched_to_are_counted_from_then_on() -> None:
    cluster = begun(JOURNEYS["another version with more replicas"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.reconcile()
    assert counts(cluster) == (3, 0, "0/3")


def test_a_step_begins_when_it_is_first_seen_and_keeps_its_time() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.trouble["v2"] = STARTING
    began: dict[str, str] = {}
    for passes in range(12):
        cluster.turn()
        if passes == 4:
            cluster.trouble.clear()
        moving = cluster.status.get("rollout")
        if moving:
            assert began.setdefault(moving["step"], moving["stepStartedAt"]) == moving["stepStartedAt"]
    assert len(set(began.values())) == len(began) == 4


def test_a_version_after_the_next_begins_its_own_steps() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.trouble = {"v2": STARTING, "v3": STARTING}
    for _ in range(3):
        cluster.turn()
    before = cluster.status["rollout"]
    cluster.edit(modelVersion="v3")
    for _ in range(4):
        cluster.turn()
    after = cluster.status["rollout"]
    assert (before["fromVersion"], before["toVersion"]) == ("v1", "v2")
    assert (after["fromVersion"], after["toVersion"]) == ("v1", "v3")
    assert after["stepStartedAt"] > before["stepStartedAt"]


def test_going_back_while_the_version_before_drains_comes_from_the_new_one() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.reconcile()
    assert (cluster.status["rollout"]["fromVersion"], cluster.status["rollout"]["toVersion"]) == ("v1", "v2")
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert (cluster.status["rollout"]["fromVersion"], cluster.status["rollout"]["toVersion"]) == ("v2", "v1")


def test_the_same_step_of_another_version_begins_anew() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v1", "v2"}:
        cluster.run_pods()
        cluster.reconcile()
    cluster.reconcile()
    before = cluster.status["rollout"]
    cluster.edit(modelVersion="v1")
    cluster.pass_time(seconds=2)
    cluster.reconcile()
    after = cluster.status["rollout"]
    assert (before["step"], after["step"]) == ("Cutover", "Cutover")
    assert "deadline" not in before
    assert after["stepStartedAt"] == timestamp(cluster.now) != before["stepStartedAt"]


def test_the_first_version_comes_from_none() -> None:
    cluster = a_cluster()
    cluster.reconcile()
    cluster.reconcile()
    assert (cluster.status["rollout"]["fromVersion"], cluster.status["rollout"]["toVersion"]) == ("", "v1")
    assert "notInPlace" not in cluster.status["rollout"]
    assert cluster.status["rollout"]["message"] == f"v1 {STEPS[Step.PROVISIONING][1]}"
    assert cluster.status["rollout"]["deadline"] == timestamp(cluster.now + timedelta(minutes=30))


def test_an_invalid_spec_leaves_what_the_status_says_of_the_world() -> None:
    cluster = a_settled_cluster()
    before = thawed(cluster.status)
    cluster.edit(replicas=-1)
    cluster.reconcile()
    judged = ("observedGeneration", "phase", "conditions")
    left = {key: value for key, value in cluster.status.items() if key not in judged}
    assert left == {key: value for key, value in before.items() if key not in judged}


def test_a_rollout_drains_until_the_last_pod_of_the_version_before_is_gone() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.reconcile()
    before = cluster.rollout_of("v1")

    without_pods = cluster.fork()
    without_pods.remove_pods(before)
    without_pods.reconcile()
    assert without_pods.status["rollout"]["step"] == "Draining"

    cluster.remove(cluster.one("ReplicaSet", colour_name("chat", before)))
    cluster.reconcile()
    assert cluster.status["rollout"]["step"] == "Draining"
    cluster.remove_pods(before)
    cluster.reconcile()
    assert "rollout" not in cluster.status
