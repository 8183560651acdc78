"""Rollouts that fail: given up while what served before serves on, and not tried again unasked."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from tests.builders import STARTING, ended
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import JOURNEYS, a_cluster, a_settled_cluster, begun, endings, kills, step

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import annotation
from sluicegate.core.plan import Apply, Delete

LOOPS = ended("CUDA error", restarts=3)


def failing() -> Cluster:
    """Version v1 serves, and the pods of v2 crash for good."""
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = LOOPS
    cluster.edit(modelVersion="v2")
    return cluster


def failed() -> Cluster:
    cluster = failing()
    cluster.settle()
    return cluster


def hangs(cluster: Cluster) -> None:
    cluster.trouble["v2"] = STARTING
    for _ in range(4):
        cluster.turn()
    cluster.pass_time(minutes=31)


def crashes(cluster: Cluster) -> None:
    cluster.trouble["v2"] = LOOPS


def runs_out_of_memory(cluster: Cluster) -> None:
    cluster.trouble["v2"] = ended(exit_code=137, reason="OOMKilled", restarts=3)


def serves_other_files(cluster: Cluster) -> None:
    cluster.other_files["v2"] = "sha256:" + "f" * 64


def answers_wrongly_for_too_long(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500"
    for _ in range(4):
        cluster.turn()
    cluster.pass_time(minutes=31)


def is_aborted(cluster: Cluster) -> None:
    cluster.turn()
    cluster.annotate(abort=cluster.rollout_of("v2"))


FAILURES: dict[str, Any] = {
    "hangs": (hangs, "ProgressDeadlineExceeded"),
    "crashes": (crashes, "EngineCrashLooping"),
    "runs out of memory": (runs_out_of_memory, "EngineOutOfMemory"),
    "serves other files": (serves_other_files, "WrongDigestServed"),
    "answers wrongly for too long": (answers_wrongly_for_too_long, "ProgressDeadlineExceeded"),
    "is aborted": (is_aborted, "Aborted"),
}


@pytest.mark.parametrize(("fail", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_version_that_fails_is_given_up_and_what_served_serves_on(fail: Any, reason: str) -> None:
    cluster = a_settled_cluster()
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.edit(modelVersion="v2")
    fail(cluster)
    cluster.settle()
    assert cluster.versions() == ["v1"]
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "RolledBack"
    assert reason in stalled["message"]
    assert "v1, as before, serves on" in stalled["message"]
    assert "kubectl sluice rollout retry chat -n models" in stalled["message"]
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.condition("Ready")["status"] == "False"
    assert cluster.status["lastGood"]["version"] == "v1"
    assert [each["metadata"]["name"] for each in cluster.of_kind("ConfigMap")] == [
        naming.pointer_name("chat", cluster.rollout_of("v1"))
    ]


def test_a_failure_is_told_until_the_spec_changes_and_nothing_is_tried() -> None:
    cluster = failed()
    cluster.trouble.clear()
    cluster.restart_operator()
    for _ in range(3):
        cluster.pass_time(days=1)
        plan = cluster.reconcile()
        assert (plan.actions, plan.events, plan.requeue_after) == ((), (), None)
    for replicas in (2, 0):
        cluster.edit(replicas=replicas)
        cluster.settle()
        assert cluster.condition("Stalled")["reason"] == "RolledBack"
        assert cluster.condition("RouteReady")["reason"] == "RolledBack"
        assert "v1, as before, serves on" in cluster.condition("Stalled")["message"]
        assert cluster.versions() == ["v1"]


def test_pods_on_their_way_out_are_a_step() -> None:
    cluster = failing()
    cluster.trouble["v2"] = STARTING
    steps = []
    for turn in range(25):
        if turn == 3:
            cluster.trouble["v2"] = LOOPS
        cluster.turn()
        steps.append(step(cluster))
    assert [each for each, _ in groupby(steps)] == [None, "Provisioning", "Discarding", None]


def test_a_failed_version_is_on_its_way_out_until_its_last_pod_should_have_ended() -> None:
    cluster = failing()
    cluster.turn()
    cluster.reconcile()
    rollout = cluster.rollout_of("v2")

    without_pods = cluster.fork()
    without_pods.remove_pods(rollout)
    without_pods.reconcile()
    assert step(without_pods) == "Discarding"
    assert "EngineCrashLooping" in without_pods.condition("Ready")["message"]

    while cluster.find("ReplicaSet", naming.colour_name("chat", rollout)):
        cluster.reconcile()
        cluster.pass_time(seconds=3)
    end = timestamp(cluster.now + timedelta(minutes=1))
    for pod in cluster.pods(rollout):
        cluster.change(pod, lambda copy: copy["metadata"].update(deletionTimestamp=end))
    plan = cluster.reconcile()
    assert step(cluster) == "Discarding"
    assert plan.requeue_after is not None
    cluster.now += plan.requeue_after
    cluster.reconcile()
    assert step(cluster) is None
    assert cluster.condition("Stalled")["reason"] == "RolledBack"


def test_going_back_to_what_serves_is_ready_after_an_answer_and_makes_no_pod() -> None:
    cluster = failed()
    before = cluster.pods()
    cluster.edit(modelVersion="v1")
    cluster.turn()
    cluster.turn()
    assert cluster.condition("Ready")["status"] == "True"
    cluster.settle()
    assert cluster.pods() == before


def test_a_version_that_is_asked_for_again_after_another_is_tried_again() -> None:
    cluster = failed()
    cluster.trouble.clear()
    cluster.edit(modelVersion="v1")
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert [outcome for _, outcome, _ in endings(cluster)].count("RolledBack") == 1


def test_of_a_long_failure_as_much_is_on_record_as_its_bound_allows() -> None:
    cluster = failing()
    cluster.trouble["v2"] = ended("x" * 2000, restarts=3)
    cluster.settle()
    assert len(cluster.status["history"][0]["message"]) == 512


def test_only_a_failure_that_is_asked_for_no_more_is_noted_as_settled() -> None:
    cluster = failed()
    assert not settled(cluster)
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert settled(cluster) == ["v2"]


def settled(cluster: Cluster) -> list[str]:
    records = cluster.of_kind("ControllerRevision")
    return [each["data"]["pointer"]["version"] for each in records if annotation(each, naming.SETTLED)]


def test_a_correction_goes_on_without_any_deletion() -> None:
    cluster = failed()
    cluster.edit(modelVersion="v3")
    cluster.settle()
    assert cluster.answering() == {"v3"}


def test_a_retry_makes_a_new_rollout_once() -> None:
    cluster = failed()
    first = cluster.status["history"][0]["id"]
    cluster.annotate(retry=first)
    cluster.settle()
    second = cluster.status["history"][0]["id"]
    assert second != first
    assert [version for version, outcome, _ in endings(cluster) if outcome == "RolledBack"] == ["v2", "v2"]
    cluster.annotate(retry=second)
    cluster.trouble.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_an_abort_of_another_rollout_says_nothing() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.annotate(abort="00000000")
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_an_abort_in_the_overlap_says_nothing() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v1", "v2"}:
        cluster.turn()
    cluster.annotate(abort=cluster.rollout_of("v2"))
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_an_abort_after_the_cutover_says_nothing() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.annotate(abort=cluster.rollout_of("v2"))
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_first_version_that_fails_is_tried_on_and_on() -> None:
    cluster = a_cluster()
    cluster.trouble["v1"] = LOOPS
    cluster.settle()
    assert cluster.condition("Stalled")["reason"] == "EngineCrashLooping"
    assert cluster.versions() == ["v1"]
    assert cluster.status.get("history", []) == []


def test_pods_that_became_ready_while_nobody_looked_are_heard_before_they_are_judged() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.turn()
    cluster.restart_operator()
    cluster.pass_time(hours=2)
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_an_ending_is_written_before_anything_is_removed() -> None:
    cluster = failing()
    cluster.settle()
    written = [
        index
        for index, action in enumerate(cluster.log)
        if isinstance(action, Apply) and "RolledBack" in (annotation(action.manifest, naming.OUTCOME) or "")
    ]
    removed = [index for index, action in enumerate(cluster.log) if isinstance(action, Delete)]
    assert len(written) == 1
    assert written[0] < removed[0]


@pytest.mark.parametrize("wiped", [False, True])
def test_a_crash_at_any_write_or_a_wiped_status_ends_in_the_same_world(wiped: bool) -> None:
    cluster = failing()
    reference = cluster.fork()
    reference.settle()
    for other in kills(cluster):
        if wiped:
            other.wipe_status()
        other.settle()
        assert other.shape() == reference.shape()
        assert endings(other) == endings(reference)


def test_a_candidate_that_is_wanted_no_more_is_superseded() -> None:
    cluster = begun(JOURNEYS["a third version while the second comes"])
    cluster.settle()
    assert ("v2", "Superseded", "Superseded") in endings(cluster)


@pytest.mark.parametrize(("limit", "kept"), [(0, 1), (1, 2), (10, 5)])
def test_records_are_kept_up_to_the_limit(limit: int, kept: int) -> None:
    cluster = a_settled_cluster()
    cluster.edit(rollout={"historyLimit": limit})
    for version in ("v2", "v3", "v1", "v2"):
        cluster.edit(modelVersion=version)
        cluster.settle()
    assert len(cluster.of_kind("ControllerRevision")) == len(cluster.status["history"]) == kept
    assert cluster.answering() == {"v2"}


def test_records_beyond_a_lowered_limit_go_one_at_a_time() -> None:
    cluster = a_settled_cluster()
    for version in ("v2", "v3", "v1"):
        cluster.edit(modelVersion=version)
        cluster.settle()
    cluster.edit(rollout={"historyLimit": 0})
    assert [type(action) for action in cluster.plan().actions] == [Delete]
    cluster.settle()
    assert len(cluster.of_kind("ControllerRevision")) == 1


def test_a_failure_that_is_told_of_is_remembered_whatever_the_limit() -> None:
    cluster = failing()
    cluster.edit(rollout={"historyLimit": 0})
    cluster.settle()
    assert endings(cluster)[0][:2] == ("v2", "RolledBack")
    cluster.edit(modelVersion="v1")
    cluster.settle()
    assert [outcome for _, outcome, _ in endings(cluster)] == ["Promoted"]


def test_records_of_an_earlier_operator_are_completed_and_no_pod_is_touched() -> None:
    cluster = a_settled_cluster()
    record = cluster.of_kind("ControllerRevision")[0]
    old = thawed(record)
    del old["metadata"]["annotations"][naming.OUTCOME]
    cluster.put(old)
    pods = cluster.pods()
    written = len(cluster.log)
    cluster.settle()
    assert [type(each) for each in cluster.log[written:]] == [Apply]
    assert cluster.pods() == pods
    assert endings(cluster) == [("v1", "Promoted", "Promoted")]


def test_a_record_on_its_way_out_is_not_deleted_again() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    cluster.change(
        cluster.one("ControllerRevision", naming.colour_name("chat", cluster.status["history"][1]["id"])),
        lambda copy: copy["metadata"].update(deletionTimestamp="2026-01-01T12:00:00Z"),
    )
    cluster.edit(rollout={"historyLimit": 0})
    assert cluster.plan().actions == ()


TAMPERED: dict[str, Any] = {
    "is edited": lambda cluster, record: cluster.take_over(
        record, "metadata", "annotations", naming.OUTCOME, value='{"outcome":"Promoted"}'
    ),
    "is made illegible": lambda cluster, record: cluster.change(
        record, lambda copy: copy["metadata"]["annotations"].update({naming.OUTCOME: "it was fine"})
    ),
    "is removed": lambda cluster, record: cluster.change(
        record, lambda copy: copy["metadata"]["annotations"].pop(naming.OUTCOME)
    ),
    "is deleted with its record": lambda cluster, record: cluster.remove(record),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_failure_whose_note_is_lost_is_tried_again_and_fails_again(tamper: Any) -> None:
    cluster = failed()
    record = cluster.one("ControllerRevision", naming.colour_name("chat", cluster.status["history"][0]["id"]))
    tamper(cluster, record)
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1"]
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")


def test_the_note_of_what_serves_is_put_right() -> None:
    cluster = a_settled_cluster()
    (record,) = cluster.of_kind("ControllerRevision")
    tampered = cluster.fork()
    tampered.change(record, lambda copy: copy["metadata"]["annotations"].update({naming.OUTCOME: "?"}))
    tampered.settle()
    assert endings(tampered) == [("v1", "Promoted", "Promoted")]
    assert tampered.answering() == {"v1"}


def gone_back_to_v1(set_back: timedelta = timedelta(0)) -> Cluster:
    """Version v2 has taken over, and v1 is wanted again while its pods drain; a clock is set back before."""
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.pass_time(seconds=5)
    cluster.reconcile()
    cluster.now -= set_back
    cluster.edit(modelVersion="v1")
    cluster.settle()
    return cluster


def test_what_is_gone_back_to_while_its_pods_drain_is_promoted_last() -> None:
    cluster = gone_back_to_v1()
    assert [each[:2] for each in endings(cluster)] == [("v1", "Promoted"), ("v2", "Promoted")]
    assert cluster.status["lastGood"]["version"] == "v1"


@pytest.mark.parametrize("set_back", [timedelta(seconds=5), timedelta(hours=1)])
def test_what_is_gone_back_to_in_the_same_second_or_with_a_clock_set_back_is_promoted_last(
    set_back: timedelta,
) -> None:
    cluster = gone_back_to_v1(set_back)
    assert [each[:2] for each in endings(cluster)] == [("v1", "Promoted"), ("v2", "Promoted")]
    assert cluster.plan().actions == (), "noted once"
