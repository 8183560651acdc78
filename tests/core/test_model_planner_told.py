"""What the status and the events of a ModelVersion say, word for word where programs read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import FACTS, digest, unschedulable
from tests.core.frozen import thawed
from tests.core.inspection import FOUND, Inspection, failure, under_way, verified

from sluicegate.core.model_planner import human_size, users


def test_each_step_of_a_good_inspection_is_told_once_as_normal() -> None:
    inspection = Inspection()
    events = [*inspection.reconcile().events, *inspection.reconcile().events]
    inspection.end(FOUND)
    events += inspection.reconcile().events
    assert [(event.type, event.reason) for event in events] == [
        ("Normal", "Inspecting"),
        ("Normal", "Verified"),
    ]


def test_a_version_that_is_kept_waits_without_being_stalled_and_warns() -> None:
    inspection = verified()
    inspection.users = ("chat",)
    inspection.delete()
    plan = inspection.reconcile()
    assert [(event.type, event.reason) for event in plan.events] == [("Warning", "InUse")]
    assert inspection.condition("Reconciling")["reason"] == "InUse"
    assert inspection.condition("Stalled") == {}


@pytest.mark.parametrize(
    ("count", "named"),
    [(1, "a0"), (5, "a0, a1, a2, a3, a4"), (6, "a0, a1, a2, a3, a4 and others")],
)
def test_five_users_at_most_are_named(count: int, named: str) -> None:
    inspection = verified()
    inspection.users = tuple(f"a{number}" for number in range(count))
    inspection.delete()
    inspection.reconcile()
    assert inspection.condition("Ready")["message"].endswith(f": {named}")


def test_a_version_without_finalizers_is_let_go() -> None:
    inspection = verified()
    inspection.delete()
    metadata = {key: value for key, value in inspection.model["metadata"].items() if key != "finalizers"}
    inspection.model = {**inspection.model, "metadata": metadata}
    plan = inspection.plan()
    assert (plan.actions, plan.status) == ((), None)


def test_the_whole_status_of_a_verified_version() -> None:
    inspection = under_way()
    inspection.set_metadata(generation=3)
    inspection.end(FOUND)
    inspection.reconcile()
    status = thawed(inspection.status)
    (ready,) = status.pop("conditions")
    assert (ready["type"], ready["status"], ready["observedGeneration"]) == ("Ready", "True", 3)
    assert status == {
        "observedGeneration": 3,
        "digest": digest("v1"),
        "sizeBytes": 269_060_552,
        "size": "256.6 MiB",
        "facts": FACTS,
        "attempts": 0,
        "lastAttemptUid": "",
    }


def test_a_judgement_leaves_what_was_found_as_it_is() -> None:
    inspection = verified()
    before = thawed(inspection.status)
    inspection.users = ("chat",)
    inspection.delete()
    inspection.reconcile()
    after = thawed(inspection.status)
    del before["conditions"], after["conditions"]
    assert after == before


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_without_words_is_gone_and_the_inspection_is_tried_again(phase: str) -> None:
    inspection = under_way()
    inspection.job_condition("Complete")
    inspection.pod(phase=phase)
    inspection.reconcile()
    assert inspection.condition("Ready")["message"].endswith(": its pod is gone")
    assert inspection.condition("Stalled") == {}


def test_a_pod_of_which_nothing_is_known_yet_may_have_a_result() -> None:
    inspection = under_way()
    inspection.job_condition("Complete")
    inspection.pod()
    inspection.pods = [{key: value for key, value in inspection.pods[0].items() if key != "status"}]
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


def test_a_pod_belongs_to_the_job_whoever_else_it_belongs_to() -> None:
    inspection = under_way()
    inspection.end(FOUND)
    (pod,) = inspection.pods
    owners = [{"kind": "Queue", "uid": "uid-queue"}, *pod["metadata"]["ownerReferences"]]
    inspection.pods = [{**pod, "metadata": {**pod["metadata"], "ownerReferences": owners}}]
    inspection.reconcile()
    assert inspection.condition("Ready")["status"] == "True"


def test_a_pod_of_nobody_says_nothing() -> None:
    inspection = under_way()
    inspection.end(FOUND)
    (pod,) = inspection.pods
    metadata = {key: value for key, value in pod["metadata"].items() if key != "ownerReferences"}
    inspection.pods = [{**pod, "metadata": metadata}]
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


def test_a_second_attempt_that_cannot_start_says_why() -> None:
    inspection = under_way()
    inspection.end(failure("SourceUnreachable", retryable=True), 1, "Error")
    inspection.reconcile()
    inspection.pass_time(seconds=10)
    inspection.reconcile()
    inspection.reconcile()
    inspection.pod(**unschedulable("0/1 nodes are available"))
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Unschedulable"


def test_the_order_of_conditions_and_those_of_others_say_nothing() -> None:
    inspection = under_way()
    status: dict[str, Any] = thawed(inspection.status)
    ready = status["conditions"][0]
    others = {**ready, "type": "Audited", "reason": "Pending"}
    inspection.set_status({**status, "conditions": [others, *status["conditions"][::-1]]})
    assert inspection.plan().events == ()


def test_a_deployment_of_which_nothing_is_said_uses_nothing() -> None:
    assert users("v1", [{"metadata": {"name": "chat"}}]) == ()


def test_a_size_is_shown_in_the_largest_unit_that_it_fills() -> None:
    assert human_size(2**40 - 2**30) == "1023.0 GiB"
    assert human_size(2**40) == "1.0 TiB"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"message": "Traceback: KeyError", "reason": "Error", "exitCode": 1}, "Traceback: KeyError"),
        ({"message": "", "reason": "OOMKilled", "exitCode": 137}, "OOMKilled"),
        ({"exitCode": 137}, "exit code 137"),
    ],
    ids=["its last words", "the kubelet's reason", "the exit code"],
)
def test_an_inspection_without_a_result_is_told_by(ended: dict[str, Any], said: str) -> None:
    inspection = under_way()
    inspection.pod(phase="Failed", containerStatuses=[{"name": "inspect", "state": {"terminated": ended}}])
    inspection.reconcile()
    message = inspection.condition("Ready")["message"]
    assert message == f"the inspection ended without a result: {said}"


@pytest.mark.parametrize("container", [{}, {"state": None}, {"state": {"running": {}}}])
def test_a_container_that_did_not_end_has_no_result_yet(container: dict[str, Any]) -> None:
    inspection = under_way()
    inspection.pod(phase="Running", containerStatuses=[{"name": "inspect", **container}])
    inspection.reconcile()
    assert inspection.condition("Ready")["reason"] == "Inspecting"


def test_what_the_files_do_not_say_is_left_at_its_default() -> None:
    inspection = under_way()
    found = json.loads(FOUND)
    inspection.end(json.dumps({**found, "facts": {**found["facts"], "contextLength": None}}))
    inspection.reconcile()
    assert inspection.condition("Ready")["status"] == "True"
    assert inspection.status["facts"]["contextLength"] == 0
