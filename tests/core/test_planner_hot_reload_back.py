"""Pods that changed and are observed, and those that change back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.builders import (
    READY,
    digest,
    ended,
)
from tests.core.changes_in_place import (
    at,
    changed,
    changing,
    in_its_pods,
    late,
    message,
    orders,
    pointers,
    served,
    told,
)
from tests.core.cluster import Cluster
from tests.core.engines import Order
from tests.core.journeys import endings, step, turn_until
from tests.core.measured import measured

from sluicegate.core.conditions import timestamp
from sluicegate.core.control import RETRY
from sluicegate.core.hot_reload import PATIENCE
from sluicegate.core.observed import RuntimeStatus
from sluicegate.core.plan import CancelReload, Inquire, Plan, Reload


def test_a_version_that_is_worse_than_the_one_before_changes_back() -> None:
    cluster = changing(observeSeconds=60)
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    turn_until(cluster, lambda: step(cluster) == "Reverting")
    assert "RegressionObserved" in message(cluster)
    assert "pods have yet to change back: pod-" in message(cluster)
    assert cluster.status["rollout"]["fromVersion"] == "v1"
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", "RegressionObserved")
    assert '"sequence": 2' in pointers(cluster)[0]


def with_one_changing_back() -> tuple[Cluster, str, str]:
    """Two pods serve a version that was given up; one of them holds its requests to change back."""
    cluster = changing(observeSeconds=60)
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    turn_until(cluster, lambda: ("Switch", "v1") in told(cluster))
    first = orders(cluster)[-1].pod_uid
    (other,) = cluster.runtimes.keys() - {first}
    cluster.restart_operator()
    cluster.reconcile()
    return cluster, first, other


def reloads(plan: Plan) -> list[str]:
    return [each.pod_uid for each in plan.actions if isinstance(each, Reload)]


def test_no_pod_changes_back_before_all_have_said_whether_they_are_at_it() -> None:
    cluster, first, _ = with_one_changing_back()
    cluster.runtimes.pop(first)
    assert reloads(cluster.plan()) == []
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_no_other_pod_changes_back_soon_after_one_did_not_answer() -> None:
    cluster, first, _ = with_one_changing_back()
    cluster.runtimes[first] = RuntimeStatus(cluster.now, None, ready=False, in_flight=0, error="no answer")
    assert reloads(cluster.plan()) == []
    cluster.pass_time(seconds=PATIENCE.total_seconds())
    assert len(reloads(cluster.plan())) == 1


def test_no_pod_changes_back_while_one_is_being_told_to() -> None:
    cluster, first, other = with_one_changing_back()
    still_wrong = cluster.runtimes[other]
    cluster.runtimes[first] = still_wrong
    assert len(reloads(cluster.plan())) == 1
    for told_now in (first, other):
        cluster.runtimes |= {first: still_wrong, other: still_wrong}
        cluster.runtimes[told_now] = replace(still_wrong, ordered=True)
        assert reloads(cluster.plan()) == []


def test_the_pod_that_an_earlier_operator_had_change_back_comes_first() -> None:
    cluster, first, other = with_one_changing_back()
    heard = cluster.runtimes
    heard[first], heard[other] = heard[other], heard[first]
    assert reloads(cluster.plan()) == []


def test_another_version_waits_for_the_end_of_what_is_observed() -> None:
    cluster = at("Observing", changing())
    cluster.edit(modelVersion="v3")
    cluster.turn()
    assert step(cluster) == "Observing"
    assert message(cluster).endswith(". v3 comes after that")
    cluster.settle()
    in_its_pods(cluster, "v3")
    assert [each[:2] for each in endings(cluster)] == [
        ("v3", "Promoted"),
        ("v2", "Promoted"),
        ("v1", "Promoted"),
    ]


def test_the_version_before_can_be_had_back_at_once() -> None:
    cluster = at("Observing", changing(observeSeconds=60))
    cluster.edit(modelVersion="v1")
    began = cluster.now
    cluster.settle()
    assert (cluster.now - began).total_seconds() < 30
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "Superseded", "Superseded")
    assert cluster.condition("Ready")["reason"] == "Serving"


def test_a_version_that_never_answers_through_the_service_changes_back_when_its_time_is_over() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()
    cluster.reconcile()
    cluster.pass_time(seconds=21)
    cluster.reconcile()
    assert step(cluster) == "Reverting"
    assert "AnswerFailed" in message(cluster)


def test_a_pod_that_ends_on_and_on_beside_one_that_comes_late_takes_it_back() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    late(cluster)
    cluster.reconcile()
    cluster.set_pod(cluster.pods()[1], ended("CUDA error", restarts=3))
    cluster.reconcile()
    cluster.reconcile()
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")


# who changes back


def wanted_back(replicas: int, **rollout: Any) -> Cluster:
    """The first pod has changed and another is about to, when v1 is wanted again."""
    cluster = at("Fleet", changing(replicas, **rollout))
    cluster.edit(modelVersion="v1")
    return cluster


def test_what_pods_are_at_ends_before_the_first_of_them_changes_back() -> None:
    cluster = wanted_back(3)
    plan = cluster.reconcile()
    assert [type(each) for each in plan.actions if isinstance(each, Reload | CancelReload)] == [
        CancelReload
    ] * 2
    plan = cluster.reconcile()
    assert [type(each) for each in plan.actions if isinstance(each, Reload | CancelReload)] == [Reload]


def test_pods_that_change_back_are_looked_at_again_soon_and_those_that_would_not_later() -> None:
    cluster = at("Observing", changing(observeSeconds=60))
    cluster.edit(modelVersion="v1")
    # when they are to change back, and when the first is at it
    for _ in range(2):
        assert cluster.plan().requeue_after == RETRY
        cluster.reconcile()
    # when the second is at it, and when it would not
    turn_until(cluster, lambda: served(cluster) == ["v1", "v2"])
    for _ in range(3):
        cluster.reconcile()
    assert (cluster.plan().actions, cluster.plan().requeue_after) == ((), RETRY)
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    for _ in range(4):
        cluster.turn()
    assert cluster.plan().requeue_after == PATIENCE


def test_a_rollout_that_is_yet_in_pods_is_told_of_though_another_ended_after_it() -> None:
    cluster = at("Observing", changing(1, observeSeconds=60))
    cluster.edit(modelVersion="v1")
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    cluster.turn()
    cluster.edit(modelVersion="v3", rollout={"strategy": "BlueGreen"})
    turn_until(cluster, lambda: cluster.versions() == ["v1", "v3"])
    cluster.edit(modelVersion="v1")
    turn_until(cluster, lambda: len(cluster.of_kind("ConfigMap")) == 1)
    cluster.reconcile()
    assert [each[0] for each in endings(cluster)][:2] == ["v3", "v2"]
    assert (step(cluster), cluster.status["rollout"]["toVersion"]) == ("Reverting", "v2")


def test_a_pod_that_comes_late_with_what_is_wanted_staged_changes_at_once() -> None:
    cluster = changed()
    body = {"version": "v2", "digest": digest("v2"), "source": {}, "sequence": 1, "mode": "Stage"}
    late(cluster, Order(body, 0.0, ready=True, outcome="Cancelled"))
    cluster.reconcile()
    assert cluster.plan().requeue_after == RETRY
    cluster.reconcile()
    assert told(cluster) == [("Switch", "v2")]


def test_a_pod_that_comes_late_and_brings_something_else_gives_it_up_first() -> None:
    cluster = changed()
    body = {"version": "v3", "digest": digest("v3"), "source": {}, "sequence": 9, "mode": "Stage"}
    late(cluster, Order(body, cluster._seconds(), ready=False))
    cluster.reconcile()
    cluster.reconcile()
    assert any(isinstance(each, CancelReload) for each in cluster.log)


def test_a_pod_that_is_ready_anew_is_asked_at_once_what_it_serves() -> None:
    cluster = changed()
    again = {**READY["conditions"][0], "lastTransitionTime": timestamp(cluster.now + timedelta(seconds=1))}
    cluster.set_pod(cluster.pods()[0], {**READY, "conditions": [again]})
    cluster.pass_time(seconds=2)
    plan = cluster.plan()
    assert sum(isinstance(each, Inquire) for each in plan.actions) == 1
    assert plan.requeue_after == RETRY
