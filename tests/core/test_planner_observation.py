"""Observing: what took over is watched beside what served before, until its time is over."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby, pairwise

import pytest
from tests.builders import NOW, READY, STARTING, ADeployment, a_pod
from tests.core.cluster import Cluster
from tests.core.failures import is_aborted, is_slower, loops
from tests.core.frozen import thawed
from tests.core.journeys import a_settled_cluster, endings, kills, step, turn_until
from tests.core.measured import measured
from tests.core.observing import SECONDS, WATCHED, changing, observing, reasons

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation
from sluicegate.core.plan import Delete, Inquire
from sluicegate.core.template import TOKEN_KEY


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


def test_nothing_is_observed_for_no_time() -> None:
    cluster = changing(observeSeconds=0)
    cluster.settle()
    assert cluster.versions() == ["v2"]


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


def test_a_retry_is_a_new_rollout_that_is_observed_again() -> None:
    cluster = observing()
    is_aborted(cluster)
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
    loops(cluster)
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


def test_a_pause_holds_neither_the_observation_nor_the_way_back() -> None:
    cluster = observing()
    cluster.edit(paused=True)
    promoted = cluster.fork()
    promoted.settle(60)
    assert endings(promoted)[0][:2] == ("v2", "Promoted")
    loops(cluster)
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
    is_aborted(cluster)
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


@pytest.mark.parametrize("fail", [None, loops, is_slower], ids=["well", "crashing", "slower"])
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
    loops(cluster)
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


def test_nothing_of_the_version_before_goes_while_the_other_is_observed() -> None:
    cluster = observing()
    first = cluster.rollout_of("v1")
    for _ in range(SECONDS):
        cluster.turn()
        gone = [each.ref.name for each in cluster.log if isinstance(each, Delete) and first in each.ref.name]
        assert step(cluster) != "Observing" or gone == []
