"""A ModelVersion's life: protected, inspected, verified or tried again, kept while used, let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import FACTS, ADeployment, a_model_version, digest, unschedulable, waiting
from tests.core.inspection import FOUND, Inspection, failure, under_way, verified

from sluicegate.core.conditions import timestamp
from sluicegate.core.model_planner import human_size, users
from sluicegate.core.plan import Create, Delete, SetFinalizers


def test_the_finalizer_comes_before_anything_else() -> None:
    inspection = Inspection()
    (action,) = inspection.plan().actions
    assert isinstance(action, SetFinalizers)
    assert action.finalizers == ("sluicegate.dev/in-use",)


def test_the_finalizers_of_others_stay() -> None:
    inspection = Inspection()
    inspection.set_metadata(finalizers=["example.org/audit"])
    (action,) = inspection.plan().actions
    assert isinstance(action, SetFinalizers)
    assert action.finalizers == ("example.org/audit", "sluicegate.dev/in-use")


def test_then_a_job_reads_the_files() -> None:
    inspection = Inspection()
    inspection.reconcile()
    plan = inspection.reconcile()
    (job,) = plan.actions
    assert isinstance(job, Create)
    assert job.manifest["metadata"]["name"] == "v1-inspect"
    command = job.manifest["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--source=pvc://weights/v1" in command
    assert [event.reason for event in plan.events] == ["Inspecting"]
    assert inspection.condition("Ready")["reason"] == "Inspecting"
    assert inspection.condition("Reconciling")["status"] == "True"
    assert inspection.reconcile().actions == ()


def test_the_job_gets_the_expected_digest_the_endpoint_and_the_credentials() -> None:
    model = a_model_version("v1", ready=False, uri="hf://org/name@" + "a" * 40)
    model["spec"]["digest"] = digest("v1")
    model["spec"]["source"] |= {"endpoint": "http://hub.test", "secretName": "hub-token"}
    (job,) = Inspection(model).plan().actions
    assert isinstance(job, Create)
    container = job.manifest["spec"]["template"]["spec"]["containers"][0]
    assert f"--expect={digest('v1')}" in container["command"]
    assert "--endpoint=http://hub.test" in container["command"]
    assert container["env"][1]["valueFrom"]["secretKeyRef"]["name"] == "hub-token"


def test_what_was_found_is_recorded_and_the_job_removed() -> None:
    inspection = under_way()
    inspection.end(FOUND)
    plan = inspection.reconcile()
    assert [event.reason for event in plan.events] == ["Verified"]
    assert plan.actions == ()
    (removal,) = inspection.reconcile().actions
    assert isinstance(removal, Delete)
    settled = inspection.plan()
    assert settled.actions == ()
    assert settled.events == ()
    assert settled.status == inspection.status
    assert inspection.status["digest"] == digest("v1")
    assert inspection.status["size"] == "256.6 MiB"
    assert inspection.status["facts"] == FACTS
    assert inspection.condition("Ready")["status"] == "True"
    assert inspection.condition("Reconciling") == {}


FAILURES = {
    "no such folder": (failure("SourceNotFound"), "SourceNotFound", True),
    "no route to the hub": (failure("SourceUnreachable", retryable=True), "SourceUnreachable", False),
    "bad credentials": (failure("SourceForbidden"), "SourceForbidden", True),
    "other files than expected": (failure("DigestMismatch"), "DigestMismatch", True),
    "a missing shard": (failure("CheckpointIncomplete"), "CheckpointIncomplete", True),
    "a truncated file": (failure("CheckpointCorrupt"), "CheckpointCorrupt", True),
    "a weight that is no number": (failure("NonFiniteWeights"), "NonFiniteWeights", True),
    "a config that is no JSON": (failure("ConfigInvalid"), "ConfigInvalid", True),
    "a link that leaves the source": (failure("UnsafePath"), "UnsafePath", True),
    "pickle": (failure("UnsafeFormat"), "UnsafeFormat", True),
    "no weights": (failure("UnsupportedFormat"), "UnsupportedFormat", True),
    "a full disk": (failure("InsufficientDisk", retryable=True), "InsufficientDisk", False),
    "a reason that nobody knows": (failure("Weather"), "InspectionFailed", False),
    "no words": ("", "InspectionFailed", False),
    "a traceback": ("Traceback: KeyError", "InspectionFailed", False),
    "a list": ("[]", "InspectionFailed", False),
    "half a finding": ('{"digest": "sha256:00"}', "InspectionFailed", False),
    "facts that are none": (
        '{"digest": "x", "sizeBytes": 1, "facts": {"parameters": -1}}',
        "InspectionFailed",
        False,
    ),
}
every_failure = pytest.mark.parametrize(("words", "reason", "stalled"), FAILURES.values(), ids=FAILURES)


@every_failure
def test_a_failed_inspection_says_why_and_is_counted_once(words: str, reason: str, stalled: bool) -> None:
    inspection = under_way()
    inspection.end(words, 1, "Error")
    plan = inspection.reconcile()
    assert [(event.type, event.reason) for event in plan.events] == [("Warning", reason)]
    assert (inspection.condition("Ready")["status"], inspection.condition("Ready")["reason"]) == (
        "False",
        reason,
    )
    assert inspection.condition("Stalled" if stalled else "Reconciling")["reason"] == reason
    assert inspection.condition("Reconciling" if stalled else "Stalled") == {}
    for _ in range(3):
        again = inspection.reconcile()
        assert (again.actions, again.events) == ((), ())
        assert inspection.status["attempts"] == 1


@every_failure
def test_a_failed_inspection_is_tried_again_and_says_the_same_meanwhile(
    words: str, reason: str, stalled: bool
) -> None:
    inspection = under_way()
    inspection.end(words, 1, "Error")
    inspection.reconcile()
    inspection.pass_time(seconds=10)
    (removal,) = inspection.reconcile().actions
    assert isinstance(removal, Delete)
    (job,) = inspection.reconcile().actions
    assert isinstance(job, Create)
    inspection.pass_time(seconds=1)
    assert inspection.reconcile().events == ()
    assert inspection.condition("Ready")["reason"] == reason
    inspection.end(FOUND)
    inspection.reconcile()
    assert inspection.condition("Ready")["status"] == "True"
    assert inspection.condition("Stalled") == {}
    assert inspection.status["attempts"] == 0


def test_attempts_come_later_and_later_up_to_ten_minutes() -> None:
    inspection = under_way()
    waits = []
    for attempt in range(1, 12):
        inspection.end(failure("SourceUnreachable", retryable=True), 1, "Error")
        inspection.reconcile()
        assert inspection.status["attempts"] == attempt
        begun = inspection.now
        while not any(isinstance(action, Create) for action in inspection.reconcile().actions):
            wait = inspection.plan().requeue_after
            inspection.now += wait or timedelta(0)
        waits.append((inspection.now - begun).total_seconds())
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(10, abs=2)
    assert waits[1] == pytest.approx(20, abs=2)
    assert waits[-1] == pytest.approx(600, abs=2)


@pytest.mark.parametrize("failed", ["2026-01-01t11:59:59z", "2026-01-01T11:59:59", "9999-12-31T23:59:59Z"])
def test_a_time_that_is_none_or_still_to_come_keeps_no_inspection_from_its_start(failed: str) -> None:
    inspection = Inspection()
    inspection.reconcile()
    inspection.set_status({"observedGeneration": 1, "attempts": 3, "lastAttemptTime": failed})
    assert [type(action) for action in inspection.plan().actions] == [Create]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_job_is_counted_once_whatever_the_api_servers_clock_says(hours: int) -> None:
    inspection = under_way()
    (job,) = inspection.jobs
    made = timestamp(inspection.now + timedelta(hours=hours))
    inspection.jobs = [{**job, "metadata": {**job["metadata"], "creationTimestamp": made}}]
    inspection.end(failure("SourceUnreachable", retryable=True), 1, "Error")
    for _ in range(3):
        inspection.reconcile()
        assert inspection.status["attempts"] == 1
    assert inspection.jobs


def test_a_job_deleted_by_hand_is_made_again_but_not_sooner() -> None:
    inspection = under_way()
    inspection.jobs.clear()
    assert [type(action) for action in inspection.plan().actions] == [Create]
    inspection = under_way()
    inspection.end(failure("SourceNotFound"), 1)
    inspection.reconcile()
    inspection.jobs.clear()
    plan = inspection.plan()
    assert plan.actions == ()
    assert plan.status is None
    assert plan.requeue_after == timedelta(seconds=10)


def test_a_job_on_its_way_out_is_waited_for() -> None:
    inspection = under_way()
    inspection.end(failure("SourceNotFound"), 1)
    (job,) = inspection.jobs
    inspection.jobs = [{**job, "metadata": {**job["metadata"], "deletionTimestamp": "2026-01-01T12:00:00Z"}}]
    plan = inspection.reconcile()
    assert plan.actions == ()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


def test_a_verified_version_leaves_a_job_on_its_way_out_alone() -> None:
    inspection = under_way()
    inspection.end(FOUND)
    inspection.reconcile()
    (job,) = inspection.jobs
    inspection.jobs = [{**job, "metadata": {**job["metadata"], "deletionTimestamp": "2026-01-01T12:00:00Z"}}]
    assert inspection.plan().actions == ()


@pytest.mark.parametrize("kind", ["Failed", "Complete"])
@pytest.mark.parametrize("pod", ["gone", "evicted"])
def test_a_job_that_ended_without_a_result_is_tried_again(kind: str, pod: str) -> None:
    inspection = under_way()
    inspection.job_condition(kind)
    if pod == "evicted":
        inspection.pod(phase="Failed", reason="Evicted")
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "InspectionFailed"
    assert inspection.status["attempts"] == 1


def test_an_inspection_that_hangs_ends_some_day_and_says_why() -> None:
    inspection = under_way()
    assert inspection.jobs[0]["spec"]["activeDeadlineSeconds"] == 24 * 60 * 60
    inspection.job_condition("Failed", "Job was active longer than specified deadline")
    inspection.reconcile()
    message = inspection.condition("Ready")["message"]
    assert message == ("the inspection ended without a result: Job was active longer than specified deadline")


def test_a_suspended_job_is_told_of_and_left_alone() -> None:
    inspection = under_way()
    inspection.job_condition("Suspended")
    assert inspection.reconcile().actions == ()
    assert "Job v1-inspect is suspended: resume it" in inspection.condition("Ready")["message"]
    assert inspection.condition("Reconciling")["reason"] == "Inspecting"


def test_a_result_that_is_still_on_its_way_is_waited_for() -> None:
    inspection = under_way()
    inspection.job_condition("Complete")
    inspection.pod(phase="Running", containerStatuses=[{"name": "inspect", "state": {"running": {}}}])
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


def test_the_pod_of_another_job_says_nothing() -> None:
    inspection = under_way()
    inspection.end(FOUND)
    (pod,) = inspection.pods
    owner = {"kind": "Job", "uid": "uid-before", "controller": True}
    inspection.pods = [{**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}]
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (unschedulable("0/1 nodes are available"), "Unschedulable"),
        (waiting("ImagePullBackOff", "not found", "inspect"), "ImagePullFailed"),
        (waiting("CreateContainerConfigError", "no secret", "inspect"), "PodConfigurationFailed"),
    ],
)
def test_an_inspection_that_cannot_start_says_why(status: dict[str, Any], reason: str) -> None:
    inspection = under_way()
    inspection.pod(**status)
    plan = inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == reason
    assert [event.reason for event in plan.events] == [reason]
    assert inspection.reconcile().events == ()


def test_a_status_wiped_after_all_is_found_again() -> None:
    inspection = verified()
    inspection.set_status({})
    inspection.reconcile()
    inspection.end(FOUND)
    inspection.reconcile()
    inspection.reconcile()
    assert inspection.condition("Ready")["status"] == "True"
    assert inspection.jobs == []


@pytest.mark.parametrize("status", [{"digest": 7}, {"conditions": "none"}, {"lastAttemptTime": []}])
def test_an_unreadable_status_is_taken_as_lost(status: dict[str, Any]) -> None:
    inspection = verified()
    inspection.set_status(status)
    (job,) = inspection.plan().actions
    assert isinstance(job, Create)


def test_a_foreign_job_is_told_of_and_left_alone() -> None:
    inspection = Inspection()
    inspection.reconcile()
    inspection.foreign = True
    plan = inspection.reconcile()
    assert plan.actions == ()
    assert inspection.condition("Stalled")["reason"] == "NameConflict"
    assert "Job models/v1-inspect" in inspection.condition("Ready")["message"]
    assert "CronJob nightly" in inspection.condition("Ready")["message"]
    inspection.foreign = False
    assert [type(action) for action in inspection.plan().actions] == [Create]


def test_deletion_lets_go_of_what_nobody_uses() -> None:
    inspection = verified()
    inspection.set_metadata(finalizers=["example.org/audit", "sluicegate.dev/in-use"])
    inspection.delete()
    (action,) = inspection.reconcile().actions
    assert isinstance(action, SetFinalizers)
    assert action.finalizers == ("example.org/audit",)
    assert inspection.reconcile().actions == ()


def test_deletion_waits_for_those_who_use_it() -> None:
    inspection = verified()
    inspection.users = tuple(f"chat-{number}" for number in range(7))
    inspection.delete()
    plan = inspection.reconcile()
    assert plan.actions == ()
    assert plan.requeue_after == timedelta(seconds=5)
    assert [event.reason for event in plan.events] == ["InUse"]
    assert "chat-0, chat-1, chat-2, chat-3, chat-4 and others" in inspection.condition("Ready")["message"]
    assert inspection.status["digest"] == digest("v1")
    assert inspection.reconcile().events == ()
    inspection.users = ()
    assert [type(action) for action in inspection.plan().actions] == [SetFinalizers]


def test_deletion_before_the_inspection_ended_waits_for_nothing() -> None:
    inspection = under_way()
    inspection.delete()
    assert [type(action) for action in inspection.plan().actions] == [SetFinalizers]


def test_an_invalid_version_says_so_and_is_let_go_when_deleted() -> None:
    model = a_model_version("v1", ready=False, uri="s3://bucket")
    inspection = Inspection(model)
    plan = inspection.reconcile()
    assert plan.actions == ()
    assert inspection.condition("Stalled")["reason"] == "InvalidSpec"
    assert "uri must read" in inspection.condition("Ready")["message"]
    assert [event.reason for event in plan.events] == ["InvalidSpec"]
    assert inspection.reconcile().events == ()
    inspection.delete()
    assert [type(action) for action in inspection.plan().actions] == [SetFinalizers]


def test_a_crash_after_any_write_loses_nothing() -> None:
    for crash in range(6):
        inspection = Inspection()
        for number in range(12):
            inspection.reconcile(crash_after=0 if number == crash else None)
            if inspection.jobs and not inspection.pods:
                inspection.end(FOUND)
            inspection.pass_time(seconds=1)
        assert inspection.condition("Ready")["status"] == "True"
        assert inspection.jobs == []
        assert [type(action) for action in inspection.log] == [SetFinalizers, Create, Delete]


def a_deployment(**status: Any) -> dict[str, Any]:
    return replace(ADeployment(), status=status).build()


@pytest.mark.parametrize(
    "deployment",
    [
        a_deployment(),
        ADeployment().of("x").with_engine(speculative={"draftModelVersion": "v1"}).build(),
        {**a_deployment(serving={"version": "v1"}), "spec": {}},
        {**a_deployment(rollout={"fromVersion": "v1"}), "spec": {}},
        {**a_deployment(rollout={"toVersion": "v1"}), "spec": {}},
    ],
    ids=["its spec", "its draft", "what serves", "where it comes from", "where it goes"],
)
def test_a_deployment_uses_a_version_by(deployment: dict[str, Any]) -> None:
    assert users("v1", [deployment]) == ("chat",)
    assert users("v2", [deployment]) == ()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (269_060_552, "256.6 MiB"), (2**60, "1048576.0 TiB")],
)
def test_sizes_are_shown_with_binary_units(size: int, text: str) -> None:
    assert human_size(size) == text
