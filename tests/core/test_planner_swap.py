"""Swap: the old pods make room for the new ones, and come back where these fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from tests.builders import STARTING, ADeployment, a_pod, ended, unschedulable
from tests.core.cluster import Cluster
from tests.core.journeys import a_cluster, a_settled_cluster, endings, moments, step

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation, labels, terminating
from sluicegate.core.plan import Action, Apply, Delete

SWAP = {"strategy": "Swap", "observeSeconds": 20}
LOOPS = ended("CUDA error", restarts=3)
CRASHED = ended("CUDA error")


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


def turn_until(cluster: Cluster, holds: Callable[[], bool]) -> None:
    for _ in range(60):
        cluster.turn()
        if holds():
            return
    raise AssertionError(f"it never comes to that: {cluster.status.get('rollout')}")


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


def _crashes(cluster: Cluster) -> None:
    cluster.trouble["v2"] = CRASHED
    cluster.run_pods()


def _is_aborted(cluster: Cluster) -> None:
    cluster.annotate(abort=cluster.rollout_of("v2"))


def _never_answers(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()


# How a version fails after it took over and before it answered, and for which reason it goes.
FAILURES: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "its engines crash": (_crashes, "EngineCrashLooping"),
    "somebody ends it": (_is_aborted, "Aborted"),
    "it never answers": (_never_answers, "AnswerFailed"),
}


@pytest.mark.parametrize(("fail", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_version_that_fails_before_its_first_answer_makes_room_for_the_one_before(
    fail: Callable[[Cluster], None], reason: str
) -> None:
    cluster = observing()
    fail(cluster)
    cluster.settle(60)
    assert cluster.answering() == {"v1"}
    assert wanted(cluster) == {"v1": 2}
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    assert "v1, as before, serves on" in cluster.condition("Stalled")["message"]


def _loops(cluster: Cluster) -> None:
    cluster.trouble["v2"] = LOOPS


def _is_late(cluster: Cluster) -> None:
    cluster.pass_time(days=1)


def _finds_no_room(cluster: Cluster) -> None:
    """Somebody else's pods were faster."""
    cluster.trouble["v2"] = unschedulable(
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", cluster.now
    )
    cluster.run_pods()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Unschedulable"
    cluster.pass_time(days=1)


# How a version fails before it takes over.
EARLY: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "its engines crash on and on": (_loops, "EngineCrashLooping"),
    "somebody ends it": (_is_aborted, "Aborted"),
    "it is late": (_is_late, "ProgressDeadlineExceeded"),
    "it finds no room": (_finds_no_room, "ProgressDeadlineExceeded"),
}


@pytest.mark.parametrize(("fail", "reason"), EARLY.values(), ids=EARLY)
def test_a_version_that_fails_goes_and_the_old_pods_come_back(
    fail: Callable[[Cluster], None], reason: str
) -> None:
    cluster = swapping()
    fail(cluster)
    cluster.run_pods()
    cluster.reconcile()
    assert (step(cluster), cluster.condition("Ready")["reason"]) == ("Discarding", "Discarding")
    for each in moments(cluster):
        assert len(with_pods(each)) < 2
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert wanted(cluster) == {"v1": 2}
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    assert cluster.condition("Ready")["status"] == "False"


def test_old_pods_that_come_back_are_told_of_with_what_is_in_their_way() -> None:
    cluster = swapping()
    _is_aborted(cluster)
    cluster.trouble["v1"] = STARTING
    turn_until(cluster, lambda: bool(cluster.condition("Stalled")))
    assert "v1 comes back. Change the spec" in cluster.condition("Stalled")["message"]
    cluster.trouble["v1"] = CRASHED
    cluster.turn()
    cluster.reconcile()
    assert (
        "v1 comes back, but EngineCrashLooping: CUDA error. Change" in cluster.condition("Stalled")["message"]
    )


def test_where_nothing_is_left_to_come_back_it_is_said() -> None:
    cluster = swapping()
    _is_aborted(cluster)
    cluster.settle()
    left = naming.colour_name("chat", cluster.rollout_of("v1"))
    for obj in (*cluster.of_kind("Service"), *cluster.of_kind("PodDisruptionBudget"), *cluster.pods()):
        cluster.remove(obj)
    for kind, name in (("ControllerRevision", left), ("ReplicaSet", left), ("ConfigMap", f"{left}-model")):
        cluster.remove(cluster.one(kind, name))
    cluster.reconcile()
    assert "nothing serves" in cluster.condition("Stalled")["message"]


def test_another_try_swaps_again() -> None:
    cluster = swapping()
    _is_aborted(cluster)
    cluster.settle()
    cluster.trouble.clear()
    cluster.annotate(retry=cluster.status["history"][0]["id"])
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_the_old_version_can_be_had_back_before_the_new_one_answers_and_in_a_pause_too() -> None:
    cluster = swapping()
    cluster.edit(modelVersion="v1", paused=True)
    cluster.reconcile()
    assert step(cluster) == "Swapping"
    cluster.settle()
    assert (cluster.answering(), wanted(cluster)) == ({"v1"}, {"v1": 2})


def _back(cluster: Cluster) -> None:
    cluster.edit(modelVersion="v1")


def _aborted(cluster: Cluster) -> None:
    found = cluster.status.get("rollout")
    if found:
        cluster.annotate(abort=found["id"])


def _a_third(cluster: Cluster) -> None:
    cluster.edit(modelVersion="v3")


def _paused(cluster: Cluster) -> None:
    cluster.edit(paused=True)
    cluster.settle(80)
    assert cluster.answering()
    cluster.edit(paused=False)


def _scaled(cluster: Cluster) -> None:
    cluster.edit(replicas=3)


def _at_zero(cluster: Cluster) -> None:
    cluster.edit(replicas=0)
    cluster.settle(80)
    cluster.edit(replicas=2)


def _wiped(cluster: Cluster) -> None:
    cluster.wipe_status()
    cluster.restart_operator()


def _other_strategy(cluster: Cluster) -> None:
    cluster.edit(rollout={"strategy": "BlueGreen"})


def _without_pods(cluster: Cluster) -> None:
    cluster.remove_pods()


def _without(kind: str) -> Callable[[Cluster], None]:
    def lose(cluster: Cluster) -> None:
        for obj in cluster.of_kind(kind):
            cluster.remove(obj)

    return lose


def _nothing(cluster: Cluster) -> None:
    pass


# What may happen at any moment of a swap, and who may answer in the end.
EVENTS: dict[str, tuple[Callable[[Cluster], None], set[str]]] = {
    "nothing": (_nothing, {"v2"}),
    "the old version is wanted again": (_back, {"v1"}),
    "somebody ends it": (_aborted, {"v1", "v2"}),
    "a third version is wanted": (_a_third, {"v3"}),
    "it is paused for a while": (_paused, {"v2"}),
    "more replicas are wanted": (_scaled, {"v2"}),
    "it is at zero for a while": (_at_zero, {"v2"}),
    "the status is lost and the operator restarts": (_wiped, {"v2"}),
    "both are to run side by side": (_other_strategy, {"v2"}),
    "all pods are lost": (_without_pods, {"v1", "v2"}),
    "every ReplicaSet is lost": (_without("ReplicaSet"), {"v1", "v2"}),
    "every pointer is lost": (_without("ConfigMap"), {"v2"}),
    "the Service is lost": (_without("Service"), {"v2"}),
}


@pytest.mark.parametrize(("happen", "answers"), EVENTS.values(), ids=EVENTS)
def test_whatever_happens_at_any_moment_somebody_answers_in_the_end(
    happen: Callable[[Cluster], None], answers: set[str]
) -> None:
    for number, cluster in enumerate(moments(changing())):
        if "status" not in cluster.deployment:
            continue
        happen(cluster)
        cluster.settle(80)
        assert cluster.answering() <= answers, number
        assert cluster.answering(), number
        assert list(wanted(cluster).values()) == [cluster.deployment["spec"]["replicas"]]
        records = [each for each in cluster.of_kind("ControllerRevision") if annotation(each, naming.SWAPS)]
        assert not [each for each in records if each["metadata"]["name"] in _names(cluster)], number


def _names(cluster: Cluster) -> set[str]:
    return {each["metadata"]["name"] for each in cluster.of_kind("ReplicaSet")}


@pytest.mark.parametrize("happen", [_nothing, _back, _a_third, _aborted])
def test_an_operator_killed_after_any_write_comes_to_the_same_end(
    happen: Callable[[Cluster], None],
) -> None:
    for cluster in moments(changing()):
        happen(cluster)
        reference = cluster.fork()
        reference.settle(80)
        for count in range(len(cluster.plan().actions)):
            killed = cluster.fork()
            killed.reconcile(crash_after=count)
            killed.restart_operator()
            killed.run_pods()
            killed.settle(80)
            assert killed.answering() == reference.answering()
            assert killed.shape()[0] == reference.shape()[0]


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
    _loops(cluster)
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
