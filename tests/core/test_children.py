"""The objects of a deployment as they are written: of which kinds, whose, and what is noted on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.builders import NOW, ADeployment

from sluicegate.api.v1alpha1.gates import JobGate
from sluicegate.api.v1alpha1.llmdeployment import Ending, LLMDeployment, Outcome
from sluicegate.core import children
from sluicegate.core.colours import Content, Record
from sluicegate.core.conditions import timestamp
from sluicegate.core.exposure import Exposure

COLOUR = "0a1b2c3d"
RECORD = Record("t1", {"spec": {}}, {"version": "v1"})
MADE: dict[str, tuple[str, Callable[[LLMDeployment], Any]]] = {
    "ControllerRevision": ("apps/v1", lambda owner: children.revision(owner, COLOUR, RECORD)),
    "ConfigMap": ("v1", lambda owner: children.pointer(owner, COLOUR, {})),
    "ReplicaSet": ("apps/v1", lambda owner: children.replica_set(owner, COLOUR, "t1", {}, 1)),
    "Job": (
        "batch/v1",
        lambda owner: children.verification_job(owner, COLOUR, "v1", "http://x", JobGate(image="t"), ""),
    ),
    "Service": ("v1", lambda owner: children.service(owner, Exposure(COLOUR, ""))),
    "PodDisruptionBudget": ("policy/v1", lambda owner: children.disruption_budget(owner, COLOUR)),
    "NetworkPolicy": ("networking.k8s.io/v1", lambda owner: children.network_policy(owner, "system")),
    "Secret": ("v1", lambda owner: children.control_secret(owner, b"key")),
}


def owner() -> LLMDeployment:
    return LLMDeployment.model_validate(ADeployment().build())


@pytest.mark.parametrize("kind", MADE)
def test_every_child_is_of_a_known_kind_and_goes_with_its_deployment(kind: str) -> None:
    api_version, make = MADE[kind]
    made = make(owner())
    assert (made["apiVersion"], made["kind"]) == (api_version, kind)
    assert made["metadata"]["namespace"] == "models"
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "sluicegate.dev/v1alpha1",
            "kind": "LLMDeployment",
            "name": "chat",
            "uid": "uid-chat",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def notes(made: dict[str, Any]) -> dict[str, str]:
    """The annotations, without the hash of the intent."""
    found: dict[str, str] = made["metadata"]["annotations"]
    return {key: value for key, value in found.items() if key != "sluicegate.dev/intent"}


def test_what_became_of_a_colour_is_noted_as_operators_of_other_versions_read_it() -> None:
    record = Record(
        "t2",
        {},
        {"version": "v2"},
        ending=Ending(
            outcome=Outcome.PROMOTED, reason="Promoted", message="it serves", finished_at=timestamp(NOW)
        ),
        settled=True,
        verification="webhook agreed",
        swaps=True,
        made=Content("t1", {"version": "v1"}),
        rollout="99999999",
        since="2026-01-01T12:00:00Z",
        not_in_place="RestartRequired",
    )
    noted = notes(children.revision(owner(), COLOUR, record))
    outcome = json.loads(noted.pop("sluicegate.dev/outcome"))
    assert outcome == {
        "outcome": "Promoted",
        "reason": "Promoted",
        "message": "it serves",
        "finishedAt": "2026-01-01T12:00:00Z",
    }
    assert noted == {
        "sluicegate.dev/settled": "true",
        "sluicegate.dev/verification": "webhook agreed",
        "sluicegate.dev/swaps": "true",
        "sluicegate.dev/reloaded": '{"pointer": {"version": "v2"}, "rollout": "99999999", '
        '"since": "2026-01-01T12:00:00Z", "target": "t2"}',
        "sluicegate.dev/not-in-place": "RestartRequired",
    }


def test_a_replica_set_that_is_about_to_go_is_noted_as_such() -> None:
    retired = children.replica_set(owner(), COLOUR, "t1", {}, 0, retired=True)
    assert notes(retired) == {"sluicegate.dev/retired": "true"}
    assert notes(children.replica_set(owner(), COLOUR, "t1", {}, 1)) == {}
