"""Capacity: what becomes of new pods that no node has room for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.builders import (
    READY,
    STARTING,
    ADeployment,
    a_model_version,
    a_node,
    a_pod,
    ended,
    unschedulable,
)
from tests.core.cluster import Cluster
from tests.core.journeys import endings, moments, step
from tests.core.swapping import said, wanted

from sluicegate.core import naming
from sluicegate.core.capacity import refused_since
from sluicegate.core.colours import Colour, Record
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation

FULL = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
SERVES = {**READY, "conditions": [*READY["conditions"], {"type": "PodScheduled", "status": "True"}]}


def full(capacity: str, replicas: int = 2, **spec: Any) -> Cluster:
    """Version v1 holds all accelerators, and v2 is wanted."""
    chat = ADeployment(spec={"modelVersion": "v1"}).with_replicas(replicas)
    rollout = {"capacity": capacity, "progressDeadlineSeconds": 600, **spec.pop("rollout", {})}
    models = [a_model_version(name) for name in ("v1", "v2", "v3")]
    nodes = [a_node(f"node{n}", nvidia_com__gpu="1") for n in range(replicas)]
    cluster = Cluster(chat.with_spec(rollout=rollout, **spec).build(), *models, *nodes)
    cluster.settle()
    no_room(cluster, "v2")
    cluster.edit(modelVersion="v2")
    for pod in cluster.pods():
        cluster.set_pod(pod, SERVES)
    cluster.trouble["v1"] = SERVES
    return cluster


def no_room(cluster: Cluster, version: str) -> None:
    cluster.trouble[version] = unschedulable(FULL, cluster.now)


def room(cluster: Cluster, version: str) -> None:
    cluster.trouble.pop(version)


def test_what_waits_says_for_how_much_and_who_has_it() -> None:
    cluster = full("Wait")
    cluster.turn()
    cluster.turn()
    assert step(cluster) == "AwaitingCapacity"
    assert cluster.condition("Ready")["reason"] == "InsufficientAccelerators"
    assert cluster.condition("Reconciling")["reason"] == "InsufficientAccelerators"
    assert "Stalled" not in {each["type"] for each in cluster.status["conditions"]}
    assert said(cluster) == (
        "v2 waits for room: it asks for 2 x 1 nvidia.com/gpu, the nodes have 2 in all, and 2 of this "
        f"deployment's pods hold some already; the scheduler says: {FULL}"
    )
    assert cluster.answering() == {"v1"}


def test_what_needs_no_accelerators_waits_for_a_node_with_room() -> None:
    cluster = full("Wait", engine={"device": "CPU"})
    cluster.turn()
    cluster.turn()
    assert step(cluster) == "AwaitingCapacity"
    assert cluster.condition("Ready")["reason"] == "Unschedulable"
    assert said(cluster) == f"v2 waits for a node with room: {FULL}"


def test_a_wait_for_room_is_not_counted_and_touches_nothing() -> None:
    cluster = full("Wait")
    cluster.settle()
    before = cluster.fork()
    cluster.pass_time(days=2)
    plan = cluster.reconcile()
    assert (plan.actions, plan.requeue_after) == ((), None)
    assert wanted(cluster) == wanted(before) == {"v1": 2, "v2": 2}
    assert "deadline" not in cluster.status["rollout"]
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.reconcile()
    assert step(cluster) == "Provisioning"
    assert cluster.status["rollout"]["deadline"] > timestamp(cluster.now)
    cluster.pass_time(seconds=599)
    cluster.reconcile()
    assert step(cluster) == "Provisioning"
    room(cluster, "v2")
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_what_found_room_is_given_up_at_its_deadline() -> None:
    cluster = full("Wait")
    cluster.settle()
    cluster.pass_time(days=2)
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.reconcile()
    cluster.pass_time(seconds=601)
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")


def test_what_fails_for_good_beside_what_waits_is_given_up() -> None:
    cluster = full("Wait")
    cluster.settle()
    rollout = cluster.rollout_of("v2")
    cluster.set_pod(cluster.pods(rollout)[0], ended("CUDA error", restarts=3))
    cluster.reconcile()
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")


@pytest.mark.parametrize(
    ("then", "answers"), [({"modelVersion": "v1"}, {"v1"}), ({"modelVersion": "v3"}, {"v3"})]
)
def test_something_else_may_be_wanted_meanwhile(then: dict[str, Any], answers: set[str]) -> None:
    cluster = full("Wait")
    cluster.settle()
    cluster.edit(**then)
    for each in moments(cluster):
        assert each.answering()
    cluster.settle()
    assert cluster.answering() == answers


def test_who_waits_may_be_ended() -> None:
    cluster = full("Wait")
    cluster.settle()
    cluster.annotate(abort=cluster.rollout_of("v2"))
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert endings(cluster)[0] == ("v2", "RolledBack", "Aborted")


def test_pods_that_serve_and_find_no_room_are_told_of_in_the_words_of_the_scheduler() -> None:
    cluster = full("Wait")
    room(cluster, "v2")
    cluster.settle()
    no_room(cluster, "v2")
    cluster.run_pods()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Unschedulable"


def test_without_room_a_surge_ends_at_the_deadline() -> None:
    cluster = full("Surge")
    cluster.settle()
    assert (step(cluster), cluster.condition("Ready")["reason"]) == ("Provisioning", "Unschedulable")
    cluster.pass_time(seconds=601)
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")


def test_after_a_while_without_room_the_old_pods_make_some() -> None:
    cluster = full("SurgeThenSwap")
    cluster.turn()
    cluster.turn()
    plan = cluster.reconcile()
    began = cluster.now
    assert plan.requeue_after is not None
    assert plan.requeue_after.total_seconds() <= 30
    assert (step(cluster), wanted(cluster)) == ("Provisioning", {"v1": 2, "v2": 2})
    cluster.now += plan.requeue_after
    cluster.reconcile()
    assert 25 < (cluster.now - began).total_seconds() <= 30
    assert (step(cluster), wanted(cluster)) == ("Swapping", {"v1": 0, "v2": 2})
    assert cluster.condition("Ready")["reason"] == "Swapping"
    record = cluster.one("ControllerRevision", naming.colour_name("chat", cluster.rollout_of("v2")))
    assert annotation(record, naming.SWAPS)
    cluster.run_pods()
    room(cluster, "v2")
    cluster.settle()
    assert (cluster.answering(), wanted(cluster)) == ({"v2"}, {"v2": 2})


def test_half_a_minute_without_room_is_enough_and_less_is_not() -> None:
    cluster = full("SurgeThenSwap")
    began = cluster.now.replace(microsecond=0)
    cluster.turn()
    for seconds, found in ((29.9, "Provisioning"), (30, "Swapping")):
        cluster.now = began + timedelta(seconds=seconds)
        cluster.reconcile()
        assert step(cluster) == found


def test_a_scheduler_that_does_not_say_since_when_is_waited_for() -> None:
    cluster = full("SurgeThenSwap")
    cluster.trouble["v2"] = unschedulable(FULL)
    cluster.settle()
    cluster.pass_time(seconds=60)
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 2, "v2": 2}


def test_old_pods_make_no_room_for_what_finds_no_node_for_another_reason() -> None:
    cluster = full("SurgeThenSwap")
    words = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    cluster.trouble["v2"] = unschedulable(words, cluster.now)
    cluster.settle()
    cluster.pass_time(seconds=60)
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 2, "v2": 2}


def test_where_there_is_room_nothing_is_swapped() -> None:
    cluster = full("SurgeThenSwap")
    room(cluster, "v2")
    for each in moments(cluster):
        assert each.answering()
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_swap_for_want_of_room_that_fails_brings_the_old_pods_back() -> None:
    cluster = full("SurgeThenSwap")
    cluster.turn()
    cluster.turn()
    cluster.pass_time(seconds=30)
    cluster.reconcile()
    cluster.trouble["v2"] = ended("CUDA error", restarts=3)
    cluster.settle(60)
    assert cluster.answering() == {"v1"}
    assert wanted(cluster) == {"v1": 2}
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")


def test_old_pods_make_no_room_for_what_fails_for_good_beside_what_finds_none() -> None:
    cluster = full("SurgeThenSwap")
    cluster.turn()
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], ended("CUDA error", restarts=3))
    cluster.pass_time(seconds=30)
    cluster.reconcile()
    assert (step(cluster), wanted(cluster)) == ("Discarding", {"v1": 2, "v2": 2})


def test_new_pods_that_find_room_while_the_old_ones_go_take_over_from_them() -> None:
    cluster = full("SurgeThenSwap", rollout={"observeSeconds": 20})
    cluster.turn()
    cluster.turn()
    cluster.pass_time(seconds=30)
    cluster.reconcile()
    rollout = cluster.rollout_of("v2")
    for pod in cluster.pods(rollout):
        cluster.set_pod(pod, SERVES)
    cluster.trouble["v2"] = SERVES
    cluster.reconcile()
    cluster.reconcile()
    assert cluster.answering() == {"v2"}
    cluster.settle()
    assert wanted(cluster) == {"v2": 2}


def test_a_person_promotes_before_the_old_pods_make_room() -> None:
    cluster = full("SurgeThenSwap", rollout={"promotion": "Manual"})
    cluster.turn()
    cluster.turn()
    cluster.pass_time(seconds=30)
    cluster.settle()
    assert (step(cluster), wanted(cluster)) == ("AwaitingPromotion", {"v1": 2, "v2": 2})
    assert "before the pods that serve make room" in said(cluster)
    cluster.annotate(promote=cluster.rollout_of("v2"))
    cluster.reconcile()
    assert wanted(cluster) == {"v1": 0, "v2": 2}


def test_a_pause_holds_the_old_pods() -> None:
    cluster = full("SurgeThenSwap")
    cluster.turn()
    cluster.turn()
    cluster.edit(paused=True)
    cluster.pass_time(seconds=60)
    cluster.settle()
    assert (step(cluster), wanted(cluster)) == ("Paused", {"v1": 2, "v2": 2})
    assert cluster.condition("Ready")["reason"] == "Paused"


def refusing(message: str, at: str, status: str = "False") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": status, "message": message, "lastTransitionTime": at}
    return a_pod("p", rollout="aaaaaaaa", conditions=[condition])


EARLY, LATER = "2026-01-01T12:00:00Z", "2026-01-01T12:00:05Z"


@pytest.mark.parametrize(
    ("pods", "since"),
    [
        ([refusing(FULL, LATER), refusing(FULL, EARLY)], EARLY),
        ([refusing("0/2 nodes are available: 2 node(s) didn't match.", EARLY)], None),
        ([refusing(FULL, EARLY, status="True")], None),
        ([refusing(FULL, EARLY, status="True"), refusing(FULL, LATER)], LATER),
        ([a_pod("p", rollout="aaaaaaaa")], None),
        ([], None),
    ],
    ids=["the first of two", "another obstacle", "found room since", "one did", "not tried yet", "no pods"],
)
def test_room_is_missed_since_the_scheduler_first_said_that_something_is_used_up(
    pods: list[Any], since: str | None
) -> None:
    colour = Colour("aaaaaaaa", Record("x.y", None, {}), None, None, None, tuple(pods))

    assert refused_since(colour) == (datetime.fromisoformat(since) if since else None)
