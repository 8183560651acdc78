"""Pods that do not come up, answers that are wrong: what is said, and that whoever served goes on serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import READY, STARTING, ADeployment
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster
from tests.core.troubles import TROUBLES

from sluicegate.core.conditions import timestamp
from sluicegate.core.plan import Plan

every_trouble = pytest.mark.parametrize(
    ("status", "reason", "words", "stalled"), TROUBLES.values(), ids=TROUBLES
)


def in_trouble(status: Mapping[str, Any], passes: int = 4) -> Cluster:
    """Version v1 serves, v2 is wanted and its pods are in this state."""
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = status
    cluster.edit(modelVersion="v2")
    for _ in range(passes):
        cluster.turn()
    return cluster


@every_trouble
def test_trouble_of_new_pods_is_told_while_the_version_before_serves_on(
    status: Mapping[str, Any], reason: str, words: str, stalled: bool
) -> None:
    cluster = in_trouble(status)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert words in ready["message"]
    assert cluster.condition("Stalled" if stalled else "Reconciling")["reason"] == reason
    assert cluster.condition("Reconciling" if stalled else "Stalled") == {}
    assert cluster.status["phase"] == ("Stalled" if stalled else "Rolling")
    assert cluster.status["serving"]["version"] == "v1"
    assert cluster.answering() == {"v1"}
    assert cluster.plan().actions == ()
    assert cluster.plan().events == ()


@every_trouble
def test_trouble_that_goes_away_lets_the_rollout_go_on(
    status: Mapping[str, Any], reason: str, words: str, stalled: bool
) -> None:
    cluster = in_trouble(status)
    del cluster.trouble["v2"]
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert cluster.condition("Ready")["reason"] == "Serving"


@every_trouble
def test_trouble_of_pods_that_served_is_told_and_heals(
    status: Mapping[str, Any], reason: str, words: str, stalled: bool
) -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v1"] = status
    cluster.run_pods()
    cluster.reconcile()
    ready = cluster.condition("Ready")
    expected = "NoReadyReplicas" if reason == "Provisioning" else reason
    assert (ready["status"], ready["reason"]) == ("False", expected)
    assert cluster.condition("Available")["status"] == "False"
    assert "serving" not in cluster.status
    assert cluster.plan().actions == ()
    del cluster.trouble["v1"]
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


@every_trouble
def test_a_rollout_that_takes_too_long_is_given_up_and_says_why(
    status: Mapping[str, Any], reason: str, words: str, stalled: bool
) -> None:
    cluster = in_trouble(status)
    wait = cluster.plan().requeue_after
    assert wait is not None
    assert timedelta(minutes=29) < wait <= timedelta(minutes=30)
    cluster.now += wait
    cluster.settle()
    told = cluster.status["history"][0]
    assert (told["version"], told["outcome"]) == ("v2", "RolledBack")
    assert told["reason"] == (reason if stalled else "ProgressDeadlineExceeded")
    if not stalled:
        assert "progressDeadlineSeconds (1800)" in told["message"]
    if reason != "Provisioning":
        assert words in told["message"]
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1"]
    assert cluster.plan().requeue_after is None


def test_refused_pods_are_told_in_the_api_servers_words() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    words = 'pods "chat-1" is forbidden: exceeded quota: gpus'
    cluster.refuse_pods(cluster.of_kind("ReplicaSet")[-1], words)
    cluster.turn()
    assert cluster.condition("Stalled")["reason"] == "PodCreationFailed"
    assert words in cluster.condition("Ready")["message"]
    assert cluster.answering() == {"v1"}


def asked_for_the_second(cluster: Cluster, passes: int = 5) -> Plan:
    cluster.edit(modelVersion="v2")
    for _ in range(passes):
        cluster.turn()
    return cluster.plan()


def _says_another_version(cluster: Cluster) -> None:
    cluster.lies["v2"] = "v1"


def _fails_to_answer(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500 Internal Server Error"


WRONG: dict[str, tuple[Callable[[Cluster], None], str, str]] = {
    "another version answers": (_says_another_version, "AnswerFailed", "version v1 answered instead of v2"),
    "the answer fails": (_fails_to_answer, "AnswerFailed", "HTTP 500"),
}


@pytest.mark.parametrize(("spoil", "reason", "words"), WRONG.values(), ids=WRONG)
def test_new_pods_that_are_wrong_are_never_exposed(
    spoil: Callable[[Cluster], None], reason: str, words: str
) -> None:
    cluster = a_settled_cluster()
    spoil(cluster)
    plan = asked_for_the_second(cluster)
    assert cluster.condition("Ready")["reason"] == reason
    assert words in cluster.condition("Ready")["message"]
    assert cluster.condition("Stalled") == {}
    assert cluster.answering() == {"v1"}
    assert plan.requeue_after is not None
    assert plan.requeue_after <= timedelta(seconds=1)
    cluster.lies.clear()
    cluster.other_files.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}


@pytest.mark.parametrize("heard", ["answer", "runtimes"])
def test_new_pods_that_were_not_heard_yet_are_not_exposed(heard: str) -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    for _ in range(6):
        cluster.turn()
        if heard == "answer":
            cluster.answers = {key: each for key, each in cluster.answers.items() if "preview" not in key}
        else:
            cluster.runtimes.clear()
    assert cluster.answering() == {"v1"}
    assert cluster.condition("Ready")["reason"] == "Verifying"


def test_every_new_pod_has_to_serve_the_right_files() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(3))
    cluster.edit(modelVersion="v2")
    cluster.turn()
    rollout = cluster.rollout_of("v2")
    cluster.set_pod(cluster.pods(rollout)[0], STARTING)
    cluster.trouble["v2"] = STARTING
    for pod in cluster.pods(rollout)[1:]:
        cluster.set_pod(pod, READY)
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Provisioning"
    assert cluster.plan().actions == ()


def unknown_to_kube_proxy() -> Cluster:
    """The pods of another version become ready now, and whoever asks them is refused."""
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.lies["v2"] = "!the connection was refused or could not be made"
    cluster.reconcile()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(cluster.now)}
    cluster.trouble["v2"] = {**READY, "conditions": [ready]}
    return cluster


def test_a_question_that_comes_before_kube_proxy_does_not_look_like_a_failure() -> None:
    cluster = unknown_to_kube_proxy()
    reasons = []
    for _ in range(7):
        cluster.run_pods()
        cluster.reconcile()
        reasons.append(cluster.condition("Ready")["reason"])
        cluster.pass_time(seconds=0.6)
    assert reasons == ["Verifying"] * 5 + ["AnswerFailed"] * 2


def test_nor_does_it_when_its_answer_is_looked_at_long_afterwards() -> None:
    cluster = unknown_to_kube_proxy()
    cluster.run_pods()
    cluster.reconcile()
    cluster.reconcile()
    # when the operator could not go on for a while
    cluster.pass_time(seconds=30)
    told = cluster.plan().status
    assert told is not None
    assert {each["type"]: each["reason"] for each in told["conditions"]}["Ready"] == "Verifying"


def test_a_wrong_answer_through_the_service_keeps_ready_false() -> None:
    cluster = a_settled_cluster()
    cluster.remove(cluster.pods()[0])
    cluster.reconcile()
    cluster.run_pods()
    cluster.lies["v1"] = "!no answer within 10 s"
    for _ in range(4):
        cluster.pass_time(seconds=1.1)
        cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "AnswerFailed"
    assert cluster.condition("Available")["status"] == "True"
    cluster.lies.clear()
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


def test_a_failed_answer_is_asked_for_again_twice_a_second_and_no_more_often() -> None:
    cluster = a_settled_cluster()
    cluster.lies["v2"] = "!no"
    asked_for_the_second(cluster)
    cluster.reconcile()
    cluster.pass_time(milliseconds=400)
    assert cluster.plan().actions == ()
    cluster.pass_time(milliseconds=200)
    assert len(cluster.plan().actions) == 1


def test_green_pods_that_die_right_after_the_cutover_keep_the_blue_ones() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.trouble["v2"] = STARTING
    for _ in range(8):
        cluster.run_pods()
        cluster.pass_time(seconds=1.1)
        cluster.reconcile()
    assert cluster.versions() == ["v1", "v2"]
    assert cluster.condition("Ready")["status"] == "False"
    back = cluster.fork()
    back.edit(modelVersion="v1")
    back.reconcile()
    back.pass_time(seconds=1)
    back.reconcile()
    assert back.answering() == {"v1"}
    del cluster.trouble["v2"]
    cluster.settle()
    assert cluster.versions() == ["v2"]


def test_green_pods_that_die_in_the_overlap_give_the_service_back_to_blue() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v1", "v2"}:
        cluster.turn()
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    for _ in range(4):
        cluster.turn()
    assert cluster.answering() == {"v1"}
    assert cluster.service["spec"]["selector"]["sluicegate.dev/rollout"] == cluster.rollout_of("v1")
    del cluster.trouble["v2"]
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_blue_without_a_ready_pod_is_switched_away_from_at_once() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v1"] = STARTING
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_the_overlap_lasts_at_least_half_a_second_and_blue_two_more() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.now = cluster.now.replace(microsecond=950_000)
    both = alone = None
    for _ in range(400):
        cluster.reconcile()
        cluster.run_pods()
        if cluster.answering() == {"v1", "v2"} and both is None:
            both = cluster.now
        if cluster.answering() == {"v2"} and alone is None:
            alone = cluster.now
        if cluster.versions() == ["v2"]:
            break
        cluster.pass_time(milliseconds=50)
    assert both
    assert alone
    assert alone - both >= timedelta(seconds=0.5)
    assert cluster.now - alone >= timedelta(seconds=2)
