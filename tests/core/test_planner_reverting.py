"""Reverting: who fails while it is observed makes room for who served before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import pytest
from tests.builders import READY, STARTING, waiting
from tests.core.cluster import Cluster
from tests.core.failures import (
    LOOPS,
    crashes,
    fails_requests,
    is_aborted,
    is_slower,
    loops,
    loses_its_pods,
    never_answers,
    one_of_two_loops,
    serves_other_files,
)
from tests.core.frozen import thawed
from tests.core.journeys import endings, step, turn_until
from tests.core.measured import measured
from tests.core.observing import SECONDS, observing, reasons

from sluicegate.core import naming
from sluicegate.core.objects import ref


def test_what_fails_when_the_one_before_is_wanted_again_is_superseded() -> None:
    cluster = observing()
    loops(cluster)
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert endings(cluster) == [("v2", "Superseded", "Superseded"), ("v1", "Promoted", "Promoted")]


# How a version fails while it is observed: with how many replicas, and for which reason it goes.
FAILURES: dict[str, tuple[Callable[[Cluster], None], int, str]] = {
    "its engine crashes on and on": (loops, 1, "EngineCrashLooping"),
    "one of its two pods does": (one_of_two_loops, 2, "EngineCrashLooping"),
    "its only engine crashes once": (crashes, 1, "EngineCrashLooping"),
    "all its pods are lost": (loses_its_pods, 2, "NoReadyReplicas"),
    "somebody ends it": (is_aborted, 1, "Aborted"),
    "it serves other files": (serves_other_files, 1, "WrongDigestServed"),
    "it never answers": (never_answers, 1, "AnswerFailed"),
    "it is slower": (is_slower, 1, "RegressionObserved"),
    "it fails requests": (fails_requests, 1, "RegressionObserved"),
}


@pytest.mark.parametrize(("fail", "replicas", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_version_that_fails_while_it_is_observed_makes_room_for_the_one_before(
    fail: Callable[[Cluster], None], replicas: int, reason: str
) -> None:
    cluster = observing(replicas)
    before = {pod["metadata"]["uid"] for pod in cluster.pods(cluster.rollout_of("v1"))}
    fail(cluster)
    steps = []
    for _ in range(30):
        cluster.turn()
        steps.append(step(cluster))
    cluster.settle()
    assert [each for each, _ in groupby(filter(None, steps))][-2:] == ["Reverting", "Discarding"]
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before
    assert cluster.answering() == {"v1"}
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    assert reasons(cluster)["Stalled"] == "True RolledBack"
    assert f"the rollout of v2 failed: {reason}" in cluster.condition("Stalled")["message"]
    assert "v1, as before, serves on" in cluster.condition("Stalled")["message"]
    assert cluster.status["lastGood"]["version"] == "v1"
    for _ in range(3):
        cluster.pass_time(days=1)
        plan = cluster.reconcile()
        assert (plan.actions, plan.events, plan.requeue_after) == ((), (), None)


def test_the_way_back_is_an_overlap_where_both_are_ready() -> None:
    cluster = observing()
    is_aborted(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1", "v2"}
    assert step(cluster) == "Reverting"
    assert "the Service moves back to v1" in cluster.status["rollout"]["message"]
    cluster.pass_time(seconds=0.4)
    cluster.reconcile()
    assert cluster.answering() == {"v1", "v2"}
    cluster.pass_time(seconds=0.1)
    cluster.reconcile()
    assert cluster.answering() == {"v1"}


def test_the_way_back_is_taken_at_once_where_nobody_answers() -> None:
    cluster = observing()
    crashes(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1"}


def test_the_way_back_is_taken_at_once_where_pods_of_neither_are_in_the_way() -> None:
    cluster = observing()
    _has_a_stray(cluster)
    is_aborted(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1"}


def test_pods_of_neither_leave_the_service_where_it_is_while_nobody_before_is_ready() -> None:
    cluster = observing()
    _has_a_stray(cluster)
    for pod in cluster.pods(cluster.rollout_of("v1")):
        cluster.set_pod(pod, STARTING)
    is_aborted(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v2"}


def _has_a_stray(cluster: Cluster) -> None:
    """A ready pod was given the label of another rollout by hand."""
    stray = thawed(cluster.pods(cluster.rollout_of("v1"))[0])
    stray["metadata"] = {**stray["metadata"], "name": "stray", "labels": dict(stray["metadata"]["labels"])}
    stray["metadata"]["labels"][naming.ROLLOUT] = "0badc0de"
    del stray["metadata"]["uid"]
    cluster.put(stray)


def test_a_version_without_ready_pods_is_not_gone_back_to_unless_a_person_says_so_or_the_time_is_over() -> (
    None
):
    cluster = observing()
    cluster.trouble = {"v1": STARTING, "v2": LOOPS}
    cluster.run_pods()
    for _ in range(5):
        cluster.turn()
    assert (step(cluster), cluster.versions()) == ("Observing", ["v1", "v2"])
    assert reasons(cluster)["Ready"] == "False EngineCrashLooping"
    told = cluster.fork()
    is_aborted(told)
    told.reconcile()
    cluster.pass_time(seconds=SECONDS)
    cluster.reconcile()
    for each, reason in ((told, "Aborted"), (cluster, "EngineCrashLooping")):
        assert each.service["spec"]["selector"][naming.ROLLOUT] == each.rollout_of("v1")
        each.trouble["v1"] = READY
        each.settle()
        assert endings(each)[0] == ("v2", "RolledBack", reason)


def test_a_third_version_waits_no_longer_than_the_time_for_two_that_answer_nothing() -> None:
    cluster = observing()
    cluster.edit(modelVersion="v3")
    cluster.trouble = {"v1": STARTING, "v2": STARTING}
    cluster.run_pods()
    cluster.settle(90)
    assert cluster.answering() == {"v3"}


def test_who_is_gone_back_to_by_a_person_s_word_is_waited_for_while_the_other_answers() -> None:
    cluster = observing()
    cluster.trouble["v1"] = STARTING
    cluster.run_pods()
    is_aborted(cluster)
    for _ in range(5):
        cluster.turn()
    assert (step(cluster), cluster.answering()) == ("Reverting", {"v2"})
    assert "Stalled" not in reasons(cluster)
    cluster.trouble["v1"] = waiting("ErrImagePull", "manifest unknown")
    cluster.run_pods()
    cluster.reconcile()
    assert reasons(cluster)["Stalled"] == "True Reverting"
    assert (
        "back to v1, which has no pods: container engine: manifest unknown"
        in (cluster.condition("Stalled")["message"])
    )
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_what_is_in_the_way_back_is_told_though_a_third_version_is_wanted_by_now() -> None:
    cluster = observing()
    cluster.trouble["v1"] = waiting("ErrImagePull", "manifest unknown")
    cluster.run_pods()
    is_aborted(cluster)
    cluster.reconcile()
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    assert reasons(cluster)["Stalled"] == "True Reverting"
    assert "back to v1, which has no pods" in cluster.condition("Stalled")["message"]
    assert (step(cluster), cluster.status["rollout"]["toVersion"]) == ("Reverting", "v2")
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v3"}


def test_who_is_gone_back_to_and_fails_in_the_overlap_leaves_the_other_to_answer() -> None:
    cluster = observing()
    is_aborted(cluster)
    cluster.turn()
    assert cluster.answering() == {"v1", "v2"}
    cluster.trouble["v1"] = STARTING
    cluster.run_pods()
    cluster.turn()
    assert cluster.answering() == {"v2"}
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_a_version_that_recovers_is_judged_no_more_once_it_failed() -> None:
    cluster = observing()
    fails_requests(cluster)
    turn_until(cluster, lambda: step(cluster) == "Reverting")
    cluster.measured = {"v1": measured(), "v2": measured()}
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert [each for each in endings(cluster) if each[0] == "v2"] == [
        ("v2", "RolledBack", "RegressionObserved")
    ]


def test_going_back_while_it_is_observed_makes_no_pod_and_is_superseded() -> None:
    cluster = observing(replicas=2)
    before = {pod["metadata"]["uid"] for pod in cluster.pods(cluster.rollout_of("v1"))}
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before


def test_a_promoted_version_whose_pods_are_still_there_takes_over_again_as_any_other() -> None:
    cluster = observing(2)
    first, pods = cluster.rollout_of("v1"), {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.pass_time(seconds=SECONDS)
    turn_until(cluster, lambda: step(cluster) == "Draining")
    # when
    cluster.edit(modelVersion="v1")
    for _ in range(3):
        cluster.reconcile()
        assert naming.ROLLOUT not in cluster.service["spec"]["selector"]
    cluster.settle()
    # then
    assert (cluster.answering(), cluster.status["serving"]["rollout"]) == ({"v1"}, first)
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} < pods


@pytest.mark.parametrize("held", ["Manual", "paused"])
def test_going_back_while_it_is_observed_waits_for_nobody(held: str) -> None:
    cluster = observing()
    cluster.edit(modelVersion="v1", paused=held == "paused", rollout={"promotion": "Manual"})
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_there_and_back_again_goes_on_observing() -> None:
    cluster = observing()
    cluster.edit(modelVersion="v1")
    cluster.edit(modelVersion="v2")
    cluster.turn()
    assert (step(cluster), cluster.answering()) == ("Observing", {"v2"})
    cluster.settle(60)
    assert cluster.versions() == ["v2"]


def test_nothing_to_go_back_to_leaves_who_serves() -> None:
    cluster = observing()
    is_aborted(cluster)
    cluster.reconcile(crash_after=1)
    first = cluster.rollout_of("v1")
    for obj in (
        *cluster.of_kind("ReplicaSet"),
        *cluster.of_kind("ControllerRevision"),
        *cluster.of_kind("ConfigMap"),
        *cluster.pods(),
    ):
        if first in ref(obj).name or obj["metadata"].get("labels", {}).get(naming.ROLLOUT) == first:
            cluster.remove(obj)
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert reasons(cluster)["Stalled"] == "True RolledBack"
    assert "v2, as before, serves on" not in cluster.condition("Stalled")["message"]
