"""Which changes of a deployment's status are worth telling, and how."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import ADeployment

from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.core.plan import Event
from sluicegate.core.reading import read
from sluicegate.core.report import events

THEN = "2026-01-01T12:00:00Z"


def condition(kind: str, status: str, reason: str, message: str = "words") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": THEN,
    }


def rollout(step: str, id: str = "aaaaaaaa") -> dict[str, Any]:
    return {"id": id, "fromVersion": "v1", "toVersion": "v2", "step": step, "stepStartedAt": THEN}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[Event]:
    obj = {**ADeployment().build(), "status": {"observedGeneration": 1, **before}}
    return list(events(read(LLMDeployment, obj), {"target": "v2", "conditions": [], **after}))


READY, BROKEN = condition("Ready", "True", "Serving"), condition("Ready", "False", "EngineCrashLooping")
COMING = condition("Ready", "False", "Provisioning")
STALLED = condition("Stalled", "True", "EngineCrashLooping")

CHANGES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[Event]]] = {
    "ready at last": ([COMING], [READY], [Event("Normal", "Serving", "words")]),
    "ready at once": ([], [READY], [Event("Normal", "Serving", "words")]),
    "ready as before": ([READY], [READY], []),
    "ready in other words": (
        [READY],
        [condition("Ready", "True", "Serving", "other words")],
        [],
    ),
    "ready for another reason": (
        [READY],
        [condition("Ready", "True", "ScaledToZero")],
        [Event("Normal", "ScaledToZero", "words")],
    ),
    "not ready yet": ([], [COMING], []),
    "not ready for another reason": ([COMING], [BROKEN], []),
    "not ready any more": ([READY], [BROKEN], [Event("Warning", "EngineCrashLooping", "words")]),
    "not ready since another version is wanted": ([READY], [COMING], []),
    "stalled": ([BROKEN], [BROKEN, STALLED], [Event("Warning", "EngineCrashLooping", "words")]),
    "stalled as before": ([STALLED], [STALLED], []),
    "stalled for another reason": (
        [STALLED],
        [condition("Stalled", "True", "StoreFailed")],
        [Event("Warning", "StoreFailed", "words")],
    ),
    "not stalled any more": ([STALLED], [], []),
    "another aspect": ([], [condition("Available", "True", "Serving")], []),
    "no words": ([], [condition("Ready", "True", "Serving", "")], [Event("Normal", "Serving", "Serving")]),
}


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_conditions_is_told(
    before: list[dict[str, Any]], after: list[dict[str, Any]], expected: list[Event]
) -> None:
    assert told({"conditions": before}, {"conditions": after}) == expected


STEPS: dict[str, tuple[Any, Any, list[tuple[str, str]]]] = {
    "the first step": (None, rollout("Provisioning"), [("Normal", "Provisioning")]),
    "the next step": (rollout("Provisioning"), rollout("Verifying"), [("Normal", "Verifying")]),
    "the same step": (rollout("Verifying"), rollout("Verifying"), []),
    "the same step of another colour": (
        rollout("Verifying"),
        rollout("Verifying", "bbbbbbbb"),
        [("Normal", "Verifying")],
    ),
    "the end": (rollout("Draining"), None, []),
}


@pytest.mark.parametrize(("before", "after", "expected"), STEPS.values(), ids=STEPS)
def test_a_step_of_a_rollout_is_told(before: Any, after: Any, expected: list[tuple[str, str]]) -> None:
    found = told({"rollout": before} if before else {}, {"rollout": after} if after else {})
    assert [(event.type, event.reason) for event in found] == expected
    assert all(event.message.startswith("v2 ") for event in found)
