"""Observing: what took over is watched beside what served before, which serves again where it fails."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

import pytest
from tests.builders import NOW, READY, STARTING, ADeployment, a_pod, ended, waiting
from tests.core import invariants
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_settled_cluster, endings, kills, step, turn_until
from tests.core.measured import measured

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation, ref
from sluicegate.core.plan import Delete, Inquire
from sluicegate.core.template import TOKEN_KEY

SECONDS = 20
WATCHED = {"observeSeconds": SECONDS}
LOOPS = ended("CUDA error", restarts=3)
CRASHED = ended("CUDA error")


def changing(replicas: int = 1, **rollout: Any) -> Cluster:
    """Version v1 serves, and v2 is wanted and to be observed."""
    deployment = ADeployment().with_replicas(replicas).with_spec(rollout={**WATCHED, **rollout})
    cluster = a_settled_cluster(deployment)
    cluster.edit(modelVersion="v2")
    return cluster


def observing(replicas: int = 1, **rollout: Any) -> Cluster:
    """Version v2 has just taken over alone."""
    cluster = changing(replicas, **rollout)
    turn_until(cluster, lambda: cluster.answering() == {"v2"})
    cluster.reconcile()
    assert step(cluster) == "Observing"
    return cluster


def reasons(cluster: Cluster) -> dict[str, str]:
    return {each["type"]: f"{each['status']} {each['reason']}" for each in cluster.status["conditions"]}


def test_the_version_before_stays_until_the_time_is_over() -> None:
    cluster = observing()
    began = cluster.now
    turn_until(cluster, lambda: step(cluster) != "Observing" or cluster.versions() != ["v1", "v2"])
    assert SECONDS <= (cluster.now - began).total_seconds() <= SECONDS + 3
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert endings(cluster) == [("v2", "Promoted", "Promoted"), ("v1", "Promoted", "Promoted")]


def test_each_step_comes_once_and_in_its_order() -> None:
    cluster, steps = changing(), []
    for _ in range(40):
        cluster.turn()
        steps.append(step(cluster))
    assert [each for each, _ in groupby(filter(None, steps))] == [
        "Verifying",
        "Cutover",
        "Observing",
        "Draining",
    ]


def test_a_version_that_is_observed_is_not_ready_and_says_until_when_and_with_what() -> None:
    cluster = observing()
    cluster.reconcile()
    assert reasons(cluster)["Ready"] == "False Observing"
    assert reasons(cluster)["Reconciling"] == "True Observing"
    assert reasons(cluster)["Available"] == "True Serving"
    assert "Stalled" not in reasons(cluster)
    assert cluster.status["phase"] == "Rolling"
    assert cluster.status["lastGood"]["version"] == "v1"
    assert cluster.status["serving"]["version"] == "v2"
    rollout = cluster.status["rollout"]
    assert (rollout["fromVersion"], rollout["toVersion"]) == ("v1", "v2")
    assert (
        f"v2 serves and is observed until {rollout['deadline']}; fewer than 100 requests"
        in rollout["message"]
    )
    since = annotation(cluster.service, naming.EXPOSED_SINCE)
    assert since is not None
    assert rollout["deadline"][:19] == (
        cluster.now.fromisoformat(since) + timedelta(seconds=SECONDS)
    ).strftime("%Y-%m-%dT%H:%M:%S")


def test_requests_that_come_in_change_the_status_once() -> None:
    cluster = observing()
    said = []
    for served in range(50, 350, 50):
        cluster.measured = {"v1": measured(1000), "v2": measured(served)}
        cluster.pass_time(seconds=1)
        cluster.restart_operator()
        cluster.turn()
        cluster.reconcile()
        said.append(cluster.status["rollout"]["message"].partition("; ")[2])
    assert [each for each, _ in groupby(said)] == [
        "fewer than 100 requests on either side: not compared yet",
        "no worse so far",
    ]


def test_what_it_was_promoted_after_is_on_record() -> None:
    cluster = observing()
    cluster.measured = {"v1": measured(500), "v2": measured(300)}
    cluster.settle(60)
    said = cluster.status["history"][0]["message"]
    assert said == f"observed for {SECONDS} s; compared by 500 requests before and 300 after"


def test_the_first_version_and_one_that_is_gone_back_to_are_not_observed() -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout=WATCHED))
    assert endings(cluster) == [("v1", "Promoted", "Promoted")]
    cluster = observing()
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert endings(cluster) == [("v2", "Superseded", "Superseded"), ("v1", "Promoted", "Promoted")]


def test_what_fails_when_the_one_before_is_wanted_again_is_superseded() -> None:
    cluster = observing()
    _loops(cluster)
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert endings(cluster) == [("v2", "Superseded", "Superseded"), ("v1", "Promoted", "Promoted")]


def test_nothing_is_observed_for_no_time() -> None:
    cluster = changing(observeSeconds=0)
    cluster.settle()
    assert cluster.versions() == ["v2"]


def _loops(cluster: Cluster) -> None:
    cluster.trouble["v2"] = LOOPS
    cluster.run_pods()


def _one_of_two_loops(cluster: Cluster) -> None:
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], LOOPS)


def _crashes(cluster: Cluster) -> None:
    cluster.trouble["v2"] = CRASHED
    cluster.run_pods()


def _loses_its_pods(cluster: Cluster) -> None:
    cluster.remove_pods(cluster.rollout_of("v2"))


def _is_aborted(cluster: Cluster) -> None:
    cluster.annotate(abort=cluster.rollout_of("v2"))


def _serves_other_files(cluster: Cluster) -> None:
    cluster.other_files["v2"] = "sha256:" + "f" * 64
    cluster.restart_operator()


def _never_answers(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500"
    cluster.restart_operator()
    cluster.wipe_status()


def _is_slower(cluster: Cluster) -> None:
    limits = {"comparison": {"maxTtftP95IncreasePercent": 50}}
    cluster.edit(rollout={"verification": limits})
    cluster.measured = {"v1": measured(), "v2": measured(first_token=300_000)}


def _fails_requests(cluster: Cluster) -> None:
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}


# How a version fails while it is observed: with how many replicas, and for which reason it goes.
FAILURES: dict[str, tuple[Callable[[Cluster], None], int, str]] = {
    "its engine crashes on and on": (_loops, 1, "EngineCrashLooping"),
    "one of its two pods does": (_one_of_two_loops, 2, "EngineCrashLooping"),
    "its only engine crashes once": (_crashes, 1, "EngineCrashLooping"),
    "all its pods are lost": (_loses_its_pods, 2, "NoReadyReplicas"),
    "somebody ends it": (_is_aborted, 1, "Aborted"),
    "it serves other files": (_serves_other_files, 1, "WrongDigestServed"),
    "it never answers": (_never_answers, 1, "AnswerFailed"),
    "it is slower": (_is_slower, 1, "RegressionObserved"),
    "it fails requests": (_fails_requests, 1, "RegressionObserved"),
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
    _is_aborted(cluster)
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
    _crashes(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1"}


def test_the_way_back_is_taken_at_once_where_pods_of_neither_are_in_the_way() -> None:
    cluster = observing()
    _has_a_stray(cluster)
    _is_aborted(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v1"}


def test_pods_of_neither_leave_the_service_where_it_is_while_nobody_before_is_ready() -> None:
    cluster = observing()
    _has_a_stray(cluster)
    for pod in cluster.pods(cluster.rollout_of("v1")):
        cluster.set_pod(pod, STARTING)
    _is_aborted(cluster)
    cluster.reconcile()
    assert cluster.answering() == {"v2"}


def _has_a_stray(cluster: Cluster) -> None:
    """A ready pod was given the label of another rollout by hand."""
    stray = thawed(cluster.pods(cluster.rollout_of("v1"))[0])
    stray["metadata"] = {**stray["metadata"], "name": "stray", "labels": dict(stray["metadata"]["labels"])}
    stray["metadata"]["labels"][naming.ROLLOUT] = "0badc0de"
    del stray["metadata"]["uid"]
    cluster.put(stray)


def test_what_is_wrong_with_new_pods_is_told_before_who_is_in_their_way() -> None:
    cluster = changing()
    cluster.turn()
    cluster.put(a_pod("stray", rollout="0badc0de", **READY))
    for _ in range(3):
        cluster.reconcile()
        cluster.pass_time(seconds=1)
    assert "pods of neither version" in cluster.condition("Ready")["message"]
    cluster.refuse_pods(cluster.of_kind("ReplicaSet")[-1], "exceeded quota")
    cluster.reconcile()
    assert reasons(cluster)["Stalled"] == "True PodCreationFailed"


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
    _is_aborted(told)
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
    _is_aborted(cluster)
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
    _is_aborted(cluster)
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
    _is_aborted(cluster)
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
    _fails_requests(cluster)
    turn_until(cluster, lambda: step(cluster) == "Reverting")
    cluster.measured = {"v1": measured(), "v2": measured()}
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert [each for each in endings(cluster) if each[0] == "v2"] == [
        ("v2", "RolledBack", "RegressionObserved")
    ]


def test_a_retry_is_a_new_rollout_that_is_observed_again() -> None:
    cluster = observing()
    _is_aborted(cluster)
    cluster.settle()
    cluster.annotate(retry=cluster.status["history"][0]["id"])
    turn_until(cluster, lambda: step(cluster) == "Observing")
    cluster.settle(60)
    assert cluster.answering() == {"v2"}
    assert [outcome for version, outcome, _ in endings(cluster) if version == "v2"] == [
        "Promoted",
        "RolledBack",
    ]


def test_a_third_version_waits_until_the_second_is_promoted() -> None:
    cluster = observing()
    second = cluster.rollout_of("v2")
    cluster.edit(modelVersion="v3")
    cluster.turn()
    assert (step(cluster), cluster.versions()) == ("Observing", ["v1", "v2"])
    assert cluster.status["rollout"]["id"] == second
    assert "v3 comes after that" in cluster.status["rollout"]["message"]
    assert reasons(cluster)["Ready"] == "False Observing"
    cluster.settle(90)
    assert cluster.answering() == {"v3"}
    assert [each[:2] for each in endings(cluster)] == [
        ("v3", "Promoted"),
        ("v2", "Promoted"),
        ("v1", "Promoted"),
    ]


def test_a_third_version_waits_until_the_second_has_made_room_for_the_first() -> None:
    cluster = observing()
    cluster.edit(modelVersion="v3")
    cluster.turn()
    _loops(cluster)
    steps = []
    for _ in range(60):
        cluster.turn()
        assert len(cluster.versions()) <= 2
        steps.append(step(cluster))
    assert cluster.answering() == {"v3"}
    assert [each[:2] for each in endings(cluster)] == [
        ("v3", "Promoted"),
        ("v2", "RolledBack"),
        ("v1", "Promoted"),
    ]
    assert [each for each, _ in groupby(filter(None, steps))][:2] == ["Reverting", "Verifying"]


def test_going_back_while_it_is_observed_makes_no_pod_and_is_superseded() -> None:
    cluster = observing(replicas=2)
    before = {pod["metadata"]["uid"] for pod in cluster.pods(cluster.rollout_of("v1"))}
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before


def test_a_version_of_which_a_lost_node_holds_a_pod_waits_as_any_third_one() -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout={"observeSeconds": 20}))
    first = cluster.rollout_of("v1")
    lost = thawed(cluster.pods(first)[0])
    lost["metadata"]["deletionTimestamp"] = timestamp(NOW)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    cluster.put(lost)
    cluster.edit(modelVersion="v3")
    turn_until(cluster, lambda: step(cluster) == "Observing")
    cluster.put(lost)
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert cluster.find("ReplicaSet", naming.colour_name("chat", first)) is None
    cluster.settle(80)
    assert cluster.answering() == {"v1"}


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


def test_a_pause_holds_neither_the_observation_nor_the_way_back() -> None:
    cluster = observing()
    cluster.edit(paused=True)
    promoted = cluster.fork()
    promoted.settle(60)
    assert endings(promoted)[0][:2] == ("v2", "Promoted")
    _loops(cluster)
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_more_replicas_come_for_who_serves_alone_and_fewer_go_on_both_sides() -> None:
    cluster = observing(replicas=2)
    cluster.edit(replicas=3)
    cluster.turn()
    sizes = {
        cluster.version_of(each["metadata"]["labels"][naming.ROLLOUT]): each["spec"]["replicas"]
        for each in cluster.of_kind("ReplicaSet")
    }
    assert sizes == {"v1": 2, "v2": 3}
    cluster.edit(replicas=1)
    cluster.turn()
    assert [each["spec"]["replicas"] for each in cluster.of_kind("ReplicaSet")] == [1, 1]
    _is_aborted(cluster)
    cluster.edit(replicas=3)
    cluster.settle()
    assert len(cluster.pods()) == 3


def test_at_zero_there_is_nothing_to_observe() -> None:
    cluster = observing()
    cluster.edit(replicas=0)
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")


def test_an_observation_that_is_cut_short_ends() -> None:
    cluster = observing()
    cluster.edit(rollout={"observeSeconds": 0})
    cluster.settle()
    assert cluster.versions() == ["v2"]


def test_pods_of_both_are_asked_every_five_seconds_and_only_while_one_is_observed() -> None:
    cluster = observing()
    asked: list[tuple[float, str]] = []
    began = cluster.now
    for _ in range(60):
        known = len(cluster.log)
        cluster.turn()
        asked += [
            (round((cluster.now - began).total_seconds()), each.pod)
            for each in cluster.log[known:]
            if isinstance(each, Inquire)
        ]
    by_pod = {pod: [moment for moment, each in asked if each == pod] for _, pod in asked}
    assert len(by_pod) == 2
    for at in by_pod.values():
        gaps = [later - earlier for earlier, later in pairwise(at)]
        assert set(gaps) <= {5, 6}
        assert at[-1] <= SECONDS


def test_pods_are_asked_with_the_token_that_they_were_given() -> None:
    cluster = observing()
    (secret,) = cluster.of_kind("Secret")
    given = b64decode(secret["data"][TOKEN_KEY]).decode()
    assert {each.token for each in cluster.log if isinstance(each, Inquire)} == {given}


@pytest.mark.parametrize("wanted", ["v2", "v3"])
def test_an_operator_that_was_away_hears_the_pods_before_it_promotes(wanted: str) -> None:
    cluster = observing()
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200), "v3": measured()}
    cluster.edit(modelVersion=wanted)
    cluster.pass_time(hours=1)
    cluster.restart_operator()
    cluster.settle(90)
    assert ("v2", "RolledBack", "RegressionObserved") in endings(cluster)


def test_what_was_heard_in_a_time_to_come_is_asked_again() -> None:
    cluster = observing()
    cluster.reconcile()
    cluster.pass_time(hours=-1)
    assert sum(isinstance(each, Inquire) for each in cluster.plan().actions) == 2


def test_the_planner_looks_again_when_pods_are_to_be_asked_and_when_the_time_is_over() -> None:
    cluster = observing()
    assert cluster.plan().requeue_after == timedelta(seconds=5)
    cluster.pass_time(seconds=SECONDS - 2)
    cluster.reconcile()
    after = cluster.plan().requeue_after
    assert after is not None
    assert after <= timedelta(seconds=1)


@pytest.mark.parametrize("fail", [None, _loops, _is_slower], ids=["well", "crashing", "slower"])
@pytest.mark.parametrize("wiped", [False, True])
def test_a_crash_at_any_write_or_a_wiped_status_ends_in_the_same_world(
    fail: Callable[[Cluster], None] | None, wiped: bool
) -> None:
    cluster = observing()
    if fail:
        fail(cluster)
    reference = cluster.fork()
    reference.settle(60)
    for other in kills(cluster, 60):
        if wiped:
            other.wipe_status()
        other.settle(60)
        assert other.shape() == reference.shape()
        assert endings(other) == endings(reference)


def test_a_time_that_somebody_else_has_noted_cuts_nothing_short() -> None:
    cluster = observing()
    path = ("metadata", "annotations", naming.EXPOSED_SINCE)
    cluster.take_over(cluster.service, *path, value="2025-01-01T00:00:00+00:00")
    for _ in range(5):
        cluster.turn()
    assert step(cluster) == "Observing"
    cluster.settle(60)
    assert cluster.versions() == ["v2"]


def test_a_lost_replica_set_of_the_version_before_is_made_again() -> None:
    cluster = observing()
    first = cluster.one("ReplicaSet", naming.colour_name("chat", cluster.rollout_of("v1")))
    cluster.remove(first)
    cluster.turn()
    assert cluster.versions() == ["v2", "v1"]
    assert [each["spec"]["replicas"] for each in cluster.of_kind("ReplicaSet")] == [1, 1]
    _loops(cluster)
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_a_record_that_is_lost_is_made_again_and_the_observation_goes_on() -> None:
    cluster = observing()
    cluster.remove(cluster.one("ControllerRevision", naming.colour_name("chat", cluster.rollout_of("v2"))))
    cluster.turn()
    assert (step(cluster), cluster.versions()) == ("Observing", ["v1", "v2"])
    cluster.settle(60)
    assert cluster.versions() == ["v2"]
    assert endings(cluster)[0][:2] == ("v2", "Promoted")


def test_the_deadline_of_new_pods_is_none_of_those_that_serve() -> None:
    cluster = observing(replicas=2, observeSeconds=600, progressDeadlineSeconds=60)
    cluster.edit(modelVersion="v3")
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], STARTING)
    cluster.pass_time(seconds=90)
    cluster.reconcile()
    assert (step(cluster), cluster.answering()) == ("Observing", {"v2"})


def at_the_end(replicas: int = 1) -> Cluster:
    """The moment at which the time of v2 is over; all pods were heard meanwhile, and the Service answered."""
    cluster = observing(replicas)
    cluster.pass_time(seconds=5)
    cluster.reconcile()
    since = datetime.fromisoformat(annotation(cluster.service, naming.EXPOSED_SINCE) or "")
    cluster.now = since + timedelta(seconds=SECONDS)
    return cluster


def decided(cluster: Cluster) -> str | None:
    """What becomes of v2 in one pass."""
    record = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.reconcile()
    return invariants.outcome(cluster.one("ControllerRevision", record))


def test_it_is_promoted_at_the_moment_at_which_its_time_is_over() -> None:
    cluster = at_the_end()
    cluster.pass_time(milliseconds=-1)
    assert decided(cluster) is None
    cluster.pass_time(milliseconds=1)
    assert decided(cluster) == "Promoted"


def test_two_without_ready_pods_wait_for_each_other_until_the_time_is_over() -> None:
    cluster = at_the_end()
    cluster.trouble = {"v1": STARTING, "v2": STARTING}
    cluster.run_pods()
    cluster.pass_time(seconds=-8)
    assert decided(cluster) is None
    assert cluster.plan().requeue_after == timedelta(seconds=8)
    cluster.pass_time(seconds=8)
    assert decided(cluster) == "RolledBack"


def test_answers_that_fail_end_it_when_its_time_is_over_and_not_before() -> None:
    cluster = at_the_end()
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()
    cluster.pass_time(seconds=-2)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) == "RolledBack"


def test_a_pod_that_crashed_once_beside_another_that_answers_ends_nothing() -> None:
    cluster = at_the_end(replicas=2)
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], CRASHED)
    cluster.pass_time(seconds=-1)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) == "Promoted"


@pytest.mark.parametrize("wanted", ["v2", "v3"])
def test_only_what_the_spec_asks_for_waits_for_an_answer_through_the_service(wanted: str) -> None:
    cluster = at_the_end()
    cluster.edit(modelVersion=wanted)
    cluster.answers.clear()
    assert decided(cluster) == (None if wanted == "v2" else "Promoted")
    assert decided(cluster) == "Promoted"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_a_pod_measured_counts_from_the_move_of_the_service_on(version: str) -> None:
    cluster = at_the_end()
    pod = cluster.pods(cluster.rollout_of(version))[0]["metadata"]["uid"]
    moved = cluster.now - timedelta(seconds=SECONDS)
    heard = cluster.runtimes.pop(pod)
    for at, end in ((None, None), (moved - timedelta(milliseconds=1), None), (moved, "Promoted")):
        told = cluster.fork()
        if at is not None:
            told.runtimes[pod] = replace(heard, at=at)
        assert decided(told) == end


def test_nothing_to_go_back_to_leaves_who_serves() -> None:
    cluster = observing()
    _is_aborted(cluster)
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


def test_nothing_of_the_version_before_goes_while_the_other_is_observed() -> None:
    cluster = observing()
    first = cluster.rollout_of("v1")
    for _ in range(SECONDS):
        cluster.turn()
        gone = [each.ref.name for each in cluster.log if isinstance(each, Delete) and first in each.ref.name]
        assert step(cluster) != "Observing" or gone == []
