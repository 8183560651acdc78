"""Swap: the old pods make room for the new ones."""

from __future__ import annotations

from itertools import groupby

import pytest
from tests.builders import STARTING, ADeployment, a_pod
from tests.core.cluster import Cluster
from tests.core.failures import loops
from tests.core.journeys import a_cluster, a_settled_cluster, endings, moments, step, turn_until
from tests.core.swapping import SWAP, changing, draining, observing, said, swapping, wanted, with_pods

from sluicegate.core import naming
from sluicegate.core.objects import annotation, labels, terminating
from sluicegate.core.plan import Action, Apply, Delete


def test_each_step_comes_once_and_in_its_order() -> None:
    cluster, steps = changing(), []
    for _ in range(20):
        cluster.turn()
        steps.append(step(cluster))
    assert [each for each, _ in groupby(filter(None, steps))] == [
        "Swapping",
        "Provisioning",
        "Verifying",
        "Observing",
        "Draining",
    ]
    assert cluster.answering() == {"v2"}
    assert cluster.versions() == ["v2"]
    assert cluster.condition("Ready")["status"] == "True"


def test_no_pod_comes_before_the_last_old_one_is_gone() -> None:
    cluster = changing()
    for each in moments(cluster):
        assert len(with_pods(each)) < 2
    cluster = draining()
    for _ in range(5):
        assert all(map(terminating, cluster.pods()))
        assert with_pods(cluster) == {"v1"}
        cluster.reconcile()
        cluster.pass_time(seconds=10)
        assert (step(cluster), wanted(cluster)) == ("Swapping", {"v1": 0, "v2": 0})
    cluster.run_pods()
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": 2}


def test_old_pods_on_a_node_that_does_not_answer_any_more_are_not_waited_for() -> None:
    cluster = draining()
    plan = cluster.reconcile()
    assert plan.requeue_after is not None
    assert wanted(cluster)["v2"] == 0
    cluster.now += plan.requeue_after
    cluster.reconcile()
    assert wanted(cluster)["v2"] == 2


def test_pods_that_somebody_labelled_by_hand_are_not_waited_for() -> None:
    cluster = changing()
    cluster.put(a_pod("stray", rollout="0badc0de"))
    cluster.run_pods = lambda: None  # type: ignore[method-assign]
    for pod in cluster.pods():
        if labels(pod)[naming.ROLLOUT] != "0badc0de":
            cluster.remove(pod)
    for _ in range(3):
        cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": 2}


def test_it_is_told_that_nobody_answers_and_why() -> None:
    cluster = changing()
    cluster.turn()
    cluster.turn()
    assert step(cluster) == "Swapping"
    assert "there is no room for both, and nobody answers until it is verified" in said(cluster)
    assert cluster.condition("Ready")["reason"] == "Swapping"
    assert "deadline" not in cluster.status["rollout"]
    cluster.turn()
    assert "nobody answers until it is verified, for the pods before it have made room" in said(cluster)
    cluster.reconcile()
    assert cluster.condition("Available")["reason"] == "NoReadyReplicas"
    assert cluster.condition("Ready")["status"] == "False"


def test_time_in_which_old_pods_finish_what_they_have_is_not_the_new_ones() -> None:
    cluster = draining(progressDeadlineSeconds=60)
    cluster.pass_time(seconds=59)
    cluster.reconcile()
    assert step(cluster) == "Swapping"
    cluster.trouble["v2"] = STARTING
    cluster.turn()
    cluster.pass_time(seconds=55)
    cluster.turn()
    assert step(cluster) == "Provisioning"
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_what_took_over_is_promoted_with_its_first_answer_and_the_record_says_so() -> None:
    cluster = observing()
    assert "until the Service answers" in said(cluster)
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")
    told = cluster.status["history"][0]["message"]
    assert told == "not observed: it took the place of the pods before it, and answers"
    records = cluster.of_kind("ControllerRevision")
    assert not [each for each in records if annotation(each, naming.SWAPS)]


def test_a_third_version_comes_after_one_that_took_over() -> None:
    cluster = observing()
    cluster.edit(modelVersion="v3")
    cluster.settle()
    assert cluster.answering() == {"v3"}
    assert endings(cluster)[1] == ("v2", "Promoted", "Promoted")


def test_the_record_says_so_before_the_first_pod_goes_and_nothing_is_deleted_beside_it() -> None:
    cluster = changing()
    plans: list[list[Action]] = []
    for each in moments(cluster):
        plans.append(list(each.plan().actions))
    shrinking = next(plan for plan in plans if any(_shrinks(action) for action in plan))
    kinds = [action.manifest["kind"] for action in shrinking if isinstance(action, Apply)]
    assert kinds.index("ControllerRevision") < kinds.index("ReplicaSet")
    assert not [action for action in shrinking if isinstance(action, Delete)]


def _shrinks(action: Action) -> bool:
    of_pods = isinstance(action, Apply) and action.manifest["kind"] == "ReplicaSet"
    return of_pods and action.manifest["spec"]["replicas"] == 0


def leave_a_pointer(cluster: Cluster) -> str:
    """An earlier change has left one; its name."""
    pointer = dict(cluster.of_kind("ConfigMap")[0])
    left, labels = "chat-0badc0de-model", {"app.kubernetes.io/managed-by": "sluicegate"}
    pointer["metadata"] = {**pointer["metadata"], "name": left, "labels": labels}
    del pointer["metadata"]["uid"]
    cluster.put(pointer)
    return left


def test_what_an_earlier_change_left_goes_before_or_after_the_pods_but_not_with_them() -> None:
    cluster = changing()
    cluster.turn()
    left = leave_a_pointer(cluster)
    plan = cluster.reconcile()
    assert any(map(_shrinks, plan.actions))
    assert not [action for action in plan.actions if isinstance(action, Delete)]
    cluster.settle()
    assert cluster.find("ConfigMap", left) is None


def test_what_an_earlier_change_left_goes_while_new_pods_come_up() -> None:
    cluster = swapping()
    left = leave_a_pointer(cluster)
    cluster.reconcile()
    assert cluster.find("ConfigMap", left) is None


def test_what_an_earlier_change_left_is_no_room_for_new_pods() -> None:
    cluster = draining()
    leave_a_pointer(cluster)
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": 0}


def noted(cluster: Cluster) -> list[str]:
    """The versions whose records say that they swap."""
    records = [each for each in cluster.of_kind("ControllerRevision") if annotation(each, naming.SWAPS)]
    return [each["data"]["pointer"]["version"] for each in records]


def test_only_the_record_of_the_new_version_says_so() -> None:
    cluster = changing()
    cluster.reconcile()
    cluster.reconcile()
    assert noted(cluster) == ["v2"]


def test_a_first_version_swaps_with_nobody_and_has_all_its_pods_at_once() -> None:
    cluster = a_cluster(ADeployment().with_replicas(2).with_spec(rollout=SWAP))
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 2}
    cluster.reconcile()
    assert noted(cluster) == []


def test_a_version_that_serves_and_lacks_a_pod_swaps_with_nobody() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout=SWAP))
    cluster.remove(cluster.pods()[0])
    cluster.reconcile()
    assert noted(cluster) == []


@pytest.mark.parametrize("kind", ["ReplicaSet", "ConfigMap"])
def test_no_pod_goes_before_all_of_the_new_version_is_there(kind: str) -> None:
    cluster = changing()
    cluster.reconcile()
    new = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.remove(cluster.one(kind, new if kind == "ReplicaSet" else f"{new}-model"))
    cluster.reconcile()
    assert wanted(cluster)["v1"] == 2


@pytest.mark.parametrize("replicas", [1, 2])
def test_old_pods_that_are_about_to_be_made_leave_no_room(replicas: int) -> None:
    cluster = changing(replicas)
    cluster.reconcile()
    cluster.remove_pods()
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": 0}
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": replicas}


def test_a_third_version_in_the_middle_of_a_swap_takes_the_place_at_once() -> None:
    cluster = swapping()
    cluster.edit(modelVersion="v3")
    seen = []
    for each in moments(cluster):
        seen.append(tuple(sorted(with_pods(each))))
    assert [each for each, _ in groupby(seen)] == [("v2",), (), ("v3",)]


def test_a_pause_holds_its_beginning_and_not_what_has_begun() -> None:
    cluster = changing()
    cluster.edit(paused=True)
    cluster.settle()
    assert (cluster.condition("Ready")["reason"], wanted(cluster)) == ("Paused", {"v1": 2})
    cluster = changing()
    cluster.turn()
    cluster.edit(paused=True)
    cluster.settle()
    assert (step(cluster), cluster.answering()) == ("Paused", {"v1"})
    assert wanted(cluster) == {"v1": 2, "v2": 0}
    cluster = swapping()
    cluster.edit(paused=True)
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_swap_that_has_begun_can_fail_in_a_pause() -> None:
    cluster = swapping()
    cluster.edit(paused=True)
    loops(cluster)
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_a_wait_for_a_person_claims_no_verification_before_there_are_pods() -> None:
    cluster = changing(promotion="Manual")
    told = [event for _ in range(8) for event in cluster.turn().events]
    assert [(event.reason, event.message) for event in told] == [
        ("AwaitingPromotion", "v2 waits to be promoted")
    ]


def test_a_person_promotes_before_the_old_pods_go() -> None:
    cluster = changing(promotion="Manual")
    cluster.settle()
    assert (step(cluster), cluster.answering()) == ("AwaitingPromotion", {"v1"})
    assert wanted(cluster) == {"v1": 2, "v2": 0}
    assert "before the pods that serve make room" in said(cluster)
    assert "kubectl sluice rollout promote" in said(cluster)
    assert "deadline" not in cluster.status["rollout"]
    cluster.edit(replicas=3)
    cluster.settle()
    assert wanted(cluster) == {"v1": 3, "v2": 0}
    cluster.annotate(promote="0badc0de")
    cluster.settle()
    assert cluster.answering() == {"v1"}
    cluster.annotate(promote=cluster.rollout_of("v2"))
    cluster.turn()
    cluster.annotate(promote="0badc0de")
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_the_old_pods_serve_while_a_third_version_waits_for_a_person() -> None:
    cluster = changing(promotion="Manual")
    cluster.settle()
    cluster.annotate(promote=cluster.rollout_of("v2"))
    cluster.trouble["v2"] = STARTING
    turn_until(cluster, lambda: wanted(cluster)["v1"] == 0)
    cluster.edit(modelVersion="v3")
    cluster.settle()
    assert (step(cluster), cluster.answering()) == ("AwaitingPromotion", {"v1"})


def test_the_first_version_and_one_at_zero_have_nobody_to_take_the_place_of() -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout=SWAP))
    assert cluster.answering() == {"v1"}
    cluster.edit(replicas=0)
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert wanted(cluster) == {"v2": 0}
    assert cluster.condition("Ready")["reason"] == "ScaledToZero"
    cluster.edit(replicas=2, modelVersion="v3")
    cluster.settle()
    assert cluster.answering() == {"v3"}


def test_new_pods_that_are_ready_beside_the_old_ones_take_over_as_ever() -> None:
    cluster = changing(strategy="BlueGreen")
    turn_until(cluster, lambda: len(cluster.pods()) == 4)
    cluster.edit(rollout={"strategy": "Swap"})
    beside = cluster.fork()
    beside.reconcile()
    assert wanted(beside) == {"v1": 2, "v2": 2}
    for each in moments(cluster):
        assert each.answering()


def test_the_version_before_that_is_observed_beside_is_gone_back_to_as_ever() -> None:
    cluster = changing(strategy="BlueGreen")
    turn_until(cluster, lambda: step(cluster) == "Observing")
    cluster.edit(rollout={"strategy": "Swap"}, modelVersion="v1")
    for each in moments(cluster):
        assert each.answering()
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_the_version_before_that_is_gone_back_to_lets_the_other_serve_until_all_its_pods_are_ready() -> None:
    cluster = changing(strategy="BlueGreen")
    turn_until(cluster, lambda: step(cluster) == "Observing")
    cluster.set_pod(cluster.pods(cluster.rollout_of("v1"))[0], STARTING)
    cluster.edit(rollout={"strategy": "Swap"}, modelVersion="v1")
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 2, "v2": 2}


def test_what_is_promoted_makes_room_when_the_version_before_is_wanted_back() -> None:
    cluster = changing()
    turn_until(cluster, lambda: step(cluster) == "Draining")
    cluster.edit(modelVersion="v1")
    for _ in range(8):
        cluster.turn()
        assert len(with_pods(cluster)) < 2
    assert cluster.answering() == {"v1"}


def test_a_deletion_leaves_everything_to_the_garbage_collector() -> None:
    cluster = swapping()
    cluster.delete()
    assert cluster.reconcile().actions == ()


def test_never_are_there_three_versions() -> None:
    for cluster in moments(changing()):
        for version in ("v3", "v1", "v3"):
            cluster.edit(modelVersion=version)
            cluster.turn()
            assert len(cluster.of_kind("ReplicaSet")) <= 2
        cluster.settle(80)
        assert cluster.answering() == {"v3"}
