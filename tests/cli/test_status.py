"""`status` shows what serves, what shall serve, and the pods behind it."""

from __future__ import annotations

import pytest
from tests.cli.builders import (
    NOW,
    a_condition,
    a_deployment,
    a_pod,
    a_view,
    a_waiting_engine,
    before,
    serving,
)

from sluicegate.cli.status import as_json, as_text
from sluicegate.cli.table import table
from sluicegate.cli.view import View, last_seen, pod_state, restarts, since


def _told(view: View) -> list[str]:
    return [" ".join(line.split()) for line in "\n".join(as_text(view)).splitlines()]


def test_serving_target_and_step_are_told_apart() -> None:
    versions = {"fromVersion": "smollm2-1", "toVersion": "smollm2-2"}
    rollout = {"id": "ffffffff", **versions, "step": "Verifying", "stepStartedAt": before(seconds=42)}
    view = a_view(
        a_deployment(
            a_condition("Ready", "False", "Verifying", "the new pods are asked"),
            phase="Rolling",
            serving=serving(),
            target="smollm2-2",
            replicaSummary="2/2",
            rollout=rollout,
            url="http://chat.demo.svc",
        ),
        pods=(
            a_pod("chat-0a1b2c3d-x"),
            a_pod("chat-ffffffff-y", "ffffffff"),
            a_pod("chat-12345678-z", "12345678"),
        ),
    )

    assert _told(view) == [
        "Name demo/chat",
        "Phase Rolling",
        "Serving smollm2-1 sha256:abababababab",
        "Target smollm2-2",
        "Replicas 2/2",
        "Step Verifying of smollm2-1 to smollm2-2, for 42s",
        "URL http://chat.demo.svc",
        "",
        "Conditions",
        "TYPE STATUS REASON SINCE MESSAGE",
        "Ready False Verifying 3m 20s the new pods are asked",
        "",
        "Pods",
        "NAME VERSION STATE RESTARTS NODE AGE",
        "chat-0a1b2c3d-x smollm2-1 Ready 0 node1 5m 0s",
        "chat-ffffffff-y smollm2-2 Ready 0 node1 5m 0s",
        "chat-12345678-z 12345678 Ready 0 node1 5m 0s",
    ]


def test_what_is_not_there_is_a_dash() -> None:
    told = _told(a_view(a_deployment()))

    assert {"Serving -", "Step -", "URL -", "Target smollm2-2"} <= set(told)


def test_a_spec_that_the_operator_has_not_seen_is_said_so() -> None:
    assert "The operator has not seen the present spec yet." in _told(a_view(a_deployment(observed=-1)))
    assert "The operator has not seen the present spec yet." not in _told(a_view(a_deployment()))


def test_json_holds_the_stored_status_and_the_pods() -> None:
    deployment = a_deployment(serving=serving())

    told = as_json(a_view(deployment, pods=(a_pod("chat-x", **a_waiting_engine("", "", restarts=2)),)))

    assert told["status"] == deployment["status"]
    assert told["pods"] == [
        {"name": "chat-x", "version": "smollm2-1", "state": "Ready", "restarts": 2, "node": "node1"}
    ]


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        ({"seconds": 0}, "0s"),
        ({"seconds": 59}, "59s"),
        ({"minutes": 1}, "1m 0s"),
        ({"hours": 26, "minutes": 5}, "1d 2h"),
        ({"seconds": -5}, "0s"),
    ],
)
def test_a_time_is_told_in_two_units(ago: dict[str, float], text: str) -> None:
    assert since(before(**ago), NOW) == text


def test_a_time_that_is_not_known_is_a_question_mark() -> None:
    assert since("", NOW) == "?"


def test_a_pod_is_told_by_what_keeps_it_from_being_ready() -> None:
    terminating = a_pod("x")
    terminating["metadata"]["deletionTimestamp"] = before(seconds=1)
    ended = {"initContainerStatuses": [{"name": "store", "state": {"terminated": {"reason": "Error"}}}]}
    done = {"initContainerStatuses": [{"name": "init", "state": {"terminated": {"reason": "Completed"}}}]}

    assert pod_state(terminating) == "Terminating"
    assert pod_state(a_pod("x")) == "Ready"
    assert pod_state(a_pod("x", ready=False, **ended)) == "store: Error"
    assert pod_state(a_pod("x", ready=False, **done)) == "Running"
    assert pod_state(a_pod("x", ready=False, reason="Evicted", phase="Failed")) == "Evicted"
    assert restarts(a_pod("x")) == 0


def test_an_event_is_dated_by_its_last_occurrence() -> None:
    event = {"metadata": {"creationTimestamp": "a"}, "eventTime": "b", "series": {"lastObservedTime": "c"}}

    assert last_seen(event) == "c"
    assert last_seen({**event, "series": None}) == "b"
    assert last_seen({"metadata": {"creationTimestamp": "a"}}) == "a"


def test_columns_are_aligned() -> None:
    assert table([("a", "bb"), ("ccc", "")], indent=" ") == [" a    bb", " ccc  -"]
    assert table([]) == []
