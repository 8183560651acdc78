"""Changes that a person holds: those that wait to be promoted, and those that are paused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import STARTING, ADeployment, ended, unschedulable
from tests.core.cluster import Cluster
from tests.core.journeys import a_cluster, a_settled_cluster, moments, step

from sluicegate.core.plan import Create, Delete

Spec = dict[str, Any]

MANUAL: Spec = {"rollout": {"promotion": "Manual"}}
PAUSED: Spec = {"paused": True}
FREE: Spec = {"rollout": {}, "paused": False}
HOLDS = {"a wait for a person": MANUAL, "a pause": PAUSED}
MONTH = timedelta(days=30)

held_either_way = pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS)


def a_manual_cluster(replicas: int = 1) -> Cluster:
    return a_settled_cluster(ADeployment().with_replicas(replicas).with_spec(**MANUAL))


def waiting_for_a_person(replicas: int = 1) -> Cluster:
    """Version v1 serves, the pods of v2 are verified."""
    cluster = a_manual_cluster(replicas)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    return cluster


def promote(cluster: Cluster, rollout: str | None = None) -> None:
    cluster.annotate(promote=rollout or cluster.status["rollout"]["id"])


def paused_with_new_pods() -> Cluster:
    """Version v1 serves, the pods of v2 come up, and then changes are paused."""
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2")
    cluster.turn()
    cluster.edit(**PAUSED)
    cluster.turn()
    return cluster


def reasons(cluster: Cluster) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in cluster.status["conditions"]}


# a wait for a person


def test_a_verified_version_waits_for_a_person_for_as_long_as_it_takes() -> None:
    cluster = waiting_for_a_person()
    written = len(cluster.log)
    cluster.now += MONTH
    plan = cluster.reconcile()
    assert (plan.actions, plan.events, plan.requeue_after) == ((), (), None)
    assert len(cluster.log) == written
    assert step(cluster) == "AwaitingPromotion"
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1", "v2"]


def test_who_waits_for_a_person_says_so_and_how_it_goes_on() -> None:
    cluster = waiting_for_a_person()
    told, id = cluster.condition("Ready"), cluster.status["rollout"]["id"]
    assert (told["status"], told["reason"]) == ("False", "AwaitingPromotion")
    assert told["message"] == (
        "v2 is verified and waits to be promoted: kubectl sluice rollout promote chat -n models, "
        f"or the annotation sluicegate.dev/promote: {id}"
    )
    assert cluster.condition("RouteReady")["reason"] == "AwaitingPromotion"
    assert reasons(cluster).keys().isdisjoint({"Reconciling", "Stalled"})
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.status["phase"] == "Rolling"


def test_a_wait_for_a_person_is_told_once() -> None:
    cluster = a_manual_cluster()
    cluster.edit(modelVersion="v2")
    told = [event for _ in range(8) for event in cluster.turn().events]
    assert [(event.type, event.reason, event.message) for event in told][-1] == (
        "Normal",
        "AwaitingPromotion",
        "v2 waits to be promoted",
    )
    assert [event.reason for event in told] == ["Verifying", "AwaitingPromotion"]


def test_it_takes_over_once_its_rollout_is_named() -> None:
    cluster = waiting_for_a_person()
    promote(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1", "v2"}
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert reasons(cluster)["Ready"] == "Serving"


@pytest.mark.parametrize("other", ["the one that serves", "none"])
def test_the_name_of_another_rollout_promotes_nothing(other: str) -> None:
    cluster = waiting_for_a_person()
    promote(cluster, cluster.rollout_of("v1") if other == "the one that serves" else "0badc0de")
    assert cluster.reconcile().actions == ()
    assert cluster.answering() == {"v1"}


def test_a_promotion_never_counts_for_a_later_version() -> None:
    cluster = waiting_for_a_person()
    promote(cluster)
    cluster.edit(modelVersion="v3")
    cluster.settle()
    assert (step(cluster), cluster.status["rollout"]["toVersion"]) == ("AwaitingPromotion", "v3")
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1", "v3"]


def test_a_promotion_is_good_for_the_whole_rollout_though_its_pods_break_meanwhile() -> None:
    cluster = waiting_for_a_person()
    promote(cluster)
    cluster.remove(cluster.pods(cluster.rollout_of("v2"))[0])
    cluster.reconcile()
    assert cluster.answering() == {"v1"}
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_the_first_version_waits_for_nobody() -> None:
    assert a_manual_cluster().answering() == {"v1"}


def test_a_first_version_that_never_served_is_no_reason_to_wait_for_the_next() -> None:
    cluster = a_cluster(ADeployment().with_spec(**MANUAL))
    cluster.trouble["v1"] = STARTING
    for _ in range(3):
        cluster.turn()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_lost_pods_of_the_serving_version_let_nobody_past_the_person() -> None:
    cluster = waiting_for_a_person()
    cluster.trouble["v1"] = STARTING
    for _ in range(3):
        cluster.turn()
    assert step(cluster) == "AwaitingPromotion"
    assert cluster.condition("Available")["status"] == "False"
    assert cluster.answering() == set()


def test_going_back_to_the_version_that_serves_needs_no_promotion() -> None:
    cluster = a_manual_cluster()
    cluster.edit(modelVersion="v2")
    for moment in moments(cluster):
        moment.edit(modelVersion="v1")
        moment.settle()
        assert moment.versions() == ["v1"]
        assert reasons(moment)["Ready"] == "Serving"


def test_promotion_that_becomes_automatic_promotes_what_waits() -> None:
    cluster = waiting_for_a_person()
    cluster.edit(rollout={"promotion": "Automatic"})
    cluster.settle()
    assert cluster.versions() == ["v2"]


@held_either_way
def test_a_switch_that_has_begun_is_finished(hold: Spec) -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v1", "v2"}:
        cluster.turn()
    cluster.edit(**hold)
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert cluster.answering() == {"v2"}


def test_pods_that_break_while_a_person_is_waited_for_are_told_of_and_verified_again() -> None:
    cluster = waiting_for_a_person()
    cluster.trouble["v2"] = unschedulable("no room")
    cluster.turn()
    cluster.reconcile()
    assert step(cluster) == "Provisioning"
    assert reasons(cluster)["Ready"] == "Unschedulable"
    del cluster.trouble["v2"]
    cluster.settle()
    assert step(cluster) == "AwaitingPromotion"


def test_at_zero_replicas_a_person_is_waited_for_too() -> None:
    cluster = waiting_for_a_person(replicas=0)
    assert reasons(cluster)["Ready"] == "AwaitingPromotion"
    promote(cluster)
    cluster.settle()
    assert reasons(cluster)["Ready"] == "ScaledToZero"
    assert cluster.versions() == ["v2"]


# a pause


def test_a_pause_keeps_new_pods_from_being_made() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2", **PAUSED)
    cluster.settle()
    cluster.now += MONTH
    assert cluster.reconcile().requeue_after is None
    assert cluster.versions() == ["v1"]
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Paused")
    assert ready["message"] == "v2 is held by spec.paused: no pods of it are made"
    assert "rollout" not in cluster.status
    assert reasons(cluster).keys().isdisjoint({"Reconciling", "Stalled"})


def test_a_freeze_holds_every_change_until_it_is_over_and_says_why() -> None:
    cluster = a_settled_cluster()
    cluster.defaults = replace(cluster.defaults, freeze="incident 4711")
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.versions() == ["v1"]
    assert cluster.condition("Ready")["message"] == (
        "v2 is held by the operator's SLUICEGATE_FREEZE (incident 4711): no pods of it are made"
    )
    cluster.edit(replicas=3)
    cluster.settle()
    assert len(cluster.pods()) == 3, "scaling is not held"
    cluster.defaults = replace(cluster.defaults, freeze="")
    cluster.settle()
    assert (cluster.versions(), cluster.answering()) == (["v2"], {"v2"})


def test_a_pause_keeps_verified_pods_from_taking_over_for_as_long_as_it_lasts() -> None:
    cluster = paused_with_new_pods()
    del cluster.trouble["v2"]
    cluster.settle()
    cluster.now += MONTH
    plan = cluster.reconcile()
    assert (plan.actions, plan.requeue_after) == ((), None)
    assert (step(cluster), cluster.answering()) == ("Paused", {"v1"})
    ready = cluster.condition("Ready")
    assert (ready["reason"], ready["message"]) == (
        "Paused",
        "v2 is held by spec.paused: it does not take over",
    )


def test_what_is_wrong_with_new_pods_is_told_in_a_pause_too() -> None:
    cluster = paused_with_new_pods()
    cluster.trouble["v2"] = unschedulable("no room")
    cluster.turn()
    cluster.reconcile()
    assert step(cluster) == "Paused"
    assert (reasons(cluster)["Ready"], reasons(cluster)["Reconciling"]) == ("Unschedulable", "Unschedulable")
    assert reasons(cluster)["RouteReady"] == "Paused"


def test_new_pods_that_fail_for_good_are_told_of_and_stay_until_the_pause_is_over() -> None:
    cluster = paused_with_new_pods()
    cluster.trouble["v2"] = ended("CUDA error", restarts=3)
    cluster.settle()
    assert (step(cluster), cluster.versions()) == ("Paused", ["v1", "v2"])
    assert reasons(cluster)["Stalled"] == "EngineCrashLooping"
    cluster.edit(paused=False)
    cluster.settle()
    assert cluster.versions() == ["v1"]


def test_a_pause_holds_what_somebody_has_promoted() -> None:
    cluster = waiting_for_a_person()
    cluster.edit(**PAUSED)
    cluster.settle()
    promote(cluster)
    assert cluster.reconcile().actions == ()
    assert step(cluster) == "Paused"
    cluster.edit(paused=False)
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_pause_stops_neither_scaling_nor_repair_nor_going_back() -> None:
    cluster = paused_with_new_pods()
    cluster.edit(replicas=2)
    cluster.remove(cluster.one("PodDisruptionBudget", "chat"))
    for _ in range(3):
        cluster.turn()
    assert len(cluster.pods(cluster.rollout_of("v1"))) == 2
    assert cluster.find("PodDisruptionBudget", "chat")
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert cluster.versions() == ["v1"]
    assert reasons(cluster)["Ready"] == "Serving"


def test_old_pods_go_though_changes_are_paused_meanwhile() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.edit(**PAUSED)
    cluster.settle()
    assert cluster.versions() == ["v2"]


def test_a_pause_does_not_hold_the_first_version() -> None:
    assert a_settled_cluster(ADeployment().with_spec(**PAUSED)).answering() == {"v1"}


@held_either_way
def test_the_pods_of_a_third_version_in_the_way_are_no_matter_before_somebody_lets_it_go_on(
    hold: Spec,
) -> None:
    cluster = waiting_for_a_person() if hold == MANUAL else paused_with_new_pods()
    cluster.trouble.clear()
    cluster.settle()
    cluster.change(
        cluster.pods(cluster.rollout_of("v1"))[0],
        lambda pod: pod["metadata"]["labels"].update({"sluicegate.dev/rollout": "0badc0de"}),
    )
    cluster.reconcile()
    assert reasons(cluster)["Ready"] in ("AwaitingPromotion", "Paused")


@held_either_way
def test_a_hold_of_what_serves_makes_no_pods_and_changes_nothing(hold: Spec) -> None:
    cluster = a_settled_cluster()
    written = len(cluster.log)
    cluster.edit(**hold)
    cluster.settle()
    assert len(cluster.log) == written
    assert reasons(cluster)["Ready"] == "Serving"


# the deadline


def broken_after_the_hold(hold: Spec) -> Cluster:
    """Held for a month, then let go while its pods are broken."""
    cluster = paused_with_new_pods() if hold == PAUSED else waiting_for_a_person()
    cluster.now += MONTH
    cluster.reconcile()
    cluster.trouble["v2"] = STARTING
    cluster.edit(**FREE)
    cluster.run_pods()
    cluster.reconcile()
    return cluster


@held_either_way
def test_the_time_of_a_hold_does_not_count_against_the_deadline(hold: Spec) -> None:
    cluster = broken_after_the_hold(hold)
    assert step(cluster) == "Provisioning"
    assert "Stalled" not in reasons(cluster)
    cluster.pass_time(seconds=10)
    wait = cluster.reconcile().requeue_after
    assert wait is not None
    assert timedelta(seconds=1789) <= wait <= timedelta(seconds=1790)
    cluster.now += wait - timedelta(seconds=1)
    cluster.reconcile()
    assert "Stalled" not in reasons(cluster)
    cluster.pass_time(seconds=1)
    cluster.reconcile()
    assert reasons(cluster)["Reconciling"] == "Discarding"


def test_the_time_of_one_rollouts_hold_is_none_of_the_next() -> None:
    cluster = broken_after_the_hold(MANUAL)
    assert "resumedAt" in cluster.status["rollout"]
    cluster.trouble["v3"] = STARTING
    cluster.edit(modelVersion="v3")
    for _ in range(4):
        cluster.turn()
    assert cluster.status["rollout"]["toVersion"] == "v3"
    assert "resumedAt" not in cluster.status["rollout"]


def test_a_hold_that_somebody_gives_up_is_none_of_the_version_that_serves() -> None:
    cluster = waiting_for_a_person()
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert (step(cluster), cluster.status["rollout"]["toVersion"]) == ("Draining", "v1")
    assert "resumedAt" not in cluster.status["rollout"]


def test_a_change_that_is_late_already_is_not_called_so_while_it_is_paused() -> None:
    cluster = paused_with_new_pods()
    cluster.edit(**FREE)
    cluster.reconcile()
    cluster.now += MONTH
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.edit(**PAUSED)
    cluster.reconcile()
    assert "Stalled" not in reasons(cluster)
    assert cluster.versions() == ["v1", "v2"]


@held_either_way
def test_a_hold_at_any_moment_comes_to_the_same_end_once_it_is_over(hold: Spec) -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    for moment in moments(cluster):
        moment.edit(**hold)
        moment.restart_operator()
        moment.settle()
        assert not any(isinstance(action, Create | Delete) for action in moment.plan().actions)
        moment.edit(**FREE)
        moment.settle()
        assert moment.versions() == ["v2"]
        assert reasons(moment)["Ready"] == "Serving"


def test_a_wiped_status_while_a_person_is_waited_for_promotes_nothing() -> None:
    cluster = waiting_for_a_person()
    cluster.wipe_status()
    cluster.restart_operator()
    cluster.settle()
    assert step(cluster) == "AwaitingPromotion"
    assert cluster.answering() == {"v1"}
