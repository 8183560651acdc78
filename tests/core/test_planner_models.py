"""The ModelVersions that a deployment names: missing, not ready, leaving, made anew, forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import ADeployment, a_model_version, digest
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_settled_cluster

DRAFT = {"method": "DraftModel", "draftModelVersion": "draft"}


def not_ready(reason: str = "", message: str = "", *, stalled: bool = False) -> dict[str, Any]:
    model = a_model_version("v2", ready=False)
    said = {"reason": reason, "message": message, "observedGeneration": 1}
    kinds = [("Ready", "False"), ("Stalled", str(stalled))]
    if reason:
        model["status"]["conditions"] = [
            {**said, "type": kind, "status": status, "lastTransitionTime": "2026-01-01T12:00:00Z"}
            for kind, status in kinds
        ]
    return model


def terminating(model: dict[str, Any]) -> dict[str, Any]:
    return {**model, "metadata": {**model["metadata"], "deletionTimestamp": "2026-01-01T12:00:00Z"}}


INVALID = {**a_model_version("v2"), "spec": {"source": {"uri": "s3://bucket"}}}

MODELS: dict[str, tuple[dict[str, Any] | None, str, str, bool]] = {
    "missing": (None, "ModelVersionNotFound", "v2 does not exist", True),
    "not inspected yet": (not_ready(), "ModelVersionNotReady", "not inspected yet", False),
    "being inspected": (
        not_ready("Inspecting", "a Job reads"),
        "ModelVersionNotReady",
        "Inspecting: a Job reads",
        False,
    ),
    "broken": (
        not_ready("CheckpointCorrupt", "x.safetensors ends early", stalled=True),
        "ModelVersionNotReady",
        "CheckpointCorrupt: x.safetensors ends early",
        True,
    ),
    "invalid": (INVALID, "ModelVersionNotReady", "invalid spec", True),
    "being deleted": (terminating(a_model_version("v2")), "ModelVersionTerminating", "being deleted", True),
}
every_model = pytest.mark.parametrize(("model", "reason", "words", "stalled"), MODELS.values(), ids=MODELS)


@every_model
def test_a_first_version_that_cannot_be_served_yet_makes_no_pods(
    model: dict[str, Any] | None, reason: str, words: str, stalled: bool
) -> None:
    cluster = Cluster(ADeployment().of("v2").build(), *([model] if model else []))
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == reason
    assert words in cluster.condition("Ready")["message"]
    assert bool(cluster.condition("Stalled")) == stalled
    assert cluster.status["phase"] == ("Stalled" if stalled else "Pending")
    assert cluster.of_kind("ReplicaSet") == ()
    cluster.put(a_model_version("v2"))
    cluster.settle()
    assert cluster.answering() == {"v2"}


@every_model
def test_the_version_before_serves_until_the_next_can(
    model: dict[str, Any] | None, reason: str, words: str, stalled: bool
) -> None:
    cluster = a_settled_cluster()
    cluster.remove(cluster.one("ModelVersion", "v2"))
    if model:
        cluster.put(model)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == reason
    assert cluster.condition("RouteReady")["status"] == "False"
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.answering() == {"v1"}
    cluster.put(a_model_version("v2"))
    cluster.settle()
    assert cluster.answering() == {"v2"}


@pytest.mark.parametrize("what", ["deleted", "terminating", "status wiped", "status unreadable"])
def test_a_version_lost_while_it_serves_takes_nothing_away(what: str) -> None:
    cluster = a_settled_cluster()
    model = thawed(cluster.one("ModelVersion", "v1"))
    pods = cluster.pods()
    match what:
        case "deleted":
            cluster.remove(model)
        case "terminating":
            cluster.put(terminating(model))
        case "status wiped":
            cluster.put({key: value for key, value in model.items() if key != "status"})
        case _:
            cluster.put({**model, "status": {"digest": 7}})
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Stalled") == {}
    assert cluster.condition("ModelReady")["status"] == ("True" if what == "terminating" else "False")
    assert cluster.pods() == pods
    cluster.edit(replicas=2)
    cluster.settle()
    assert len(cluster.pods()) == 2
    assert cluster.versions() == ["v1"]


def test_a_version_made_anew_with_other_files_becomes_a_new_colour() -> None:
    cluster = a_settled_cluster()
    before = cluster.pods()
    cluster.put({**a_model_version("v1"), "status": {**a_model_version("v9")["status"]}})
    cluster.settle()
    assert cluster.status["serving"]["digest"] == digest("v9")
    assert cluster.pods() != before
    assert cluster.versions() == ["v1"]


def test_a_version_made_anew_with_the_same_files_restarts_nothing() -> None:
    cluster = a_settled_cluster()
    model = a_model_version("v1")
    cluster.put({**model, "metadata": {**model["metadata"], "uid": "uid-anew"}})
    assert cluster.plan().actions == ()


def test_a_draft_model_is_brought_along() -> None:
    cluster = Cluster(
        ADeployment().with_engine(speculative=DRAFT).build(), a_model_version("v1"), a_model_version("draft")
    )
    cluster.settle()
    pointer = json.loads(cluster.of_kind("ConfigMap")[0]["data"]["pointer.json"])
    assert pointer["version"] == "v1"
    assert pointer["draft"]["version"] == "draft"
    assert pointer["draft"]["digest"] == digest("draft")


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (None, "ModelVersionNotFound"),
        (a_model_version("draft", ready=False), "ModelVersionNotReady"),
        (terminating(a_model_version("draft")), "ModelVersionTerminating"),
    ],
    ids=["missing", "not ready", "being deleted"],
)
def test_a_draft_model_that_cannot_be_served_is_waited_for(draft: dict[str, Any] | None, reason: str) -> None:
    others = [a_model_version("v1"), *([draft] if draft else [])]
    cluster = Cluster(ADeployment().with_engine(speculative=DRAFT).build(), *others)
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == reason
    assert "draft" in cluster.condition("Ready")["message"]
    assert cluster.of_kind("ReplicaSet") == ()


def test_a_hub_source_gives_its_credentials_to_the_store_alone() -> None:
    model = a_model_version("v1", uri="hf://org/name@" + "a" * 40)
    model["spec"]["source"] |= {"endpoint": "http://hub.test", "secretName": "hub-token"}
    cluster = Cluster(ADeployment().build(), model)
    cluster.settle()
    pod = cluster.of_kind("ReplicaSet")[0]["spec"]["template"]["spec"]
    store, engine = pod["initContainers"][0], pod["containers"][0]
    assert store["env"][1]["valueFrom"]["secretKeyRef"] == {"name": "hub-token", "key": "token"}
    assert "env" not in engine
    assert not any("source" in mount["name"] for mount in store["volumeMounts"])
    pointer = json.loads(cluster.of_kind("ConfigMap")[0]["data"]["pointer.json"])
    assert pointer["source"] == {"uri": model["spec"]["source"]["uri"], "endpoint": "http://hub.test"}
