"""What the caches keep: enough to decide, nothing secret, and little of it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from tests.shell.kit import a_child, with_meta

from sluicegate.shell.trim import trim


def entry(manager: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Apply",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "subresource": subresource,
    }


def managed(*entries: dict[str, Any]) -> dict[str, Any]:
    owned: dict[str, Any] = trim(with_meta(a_child(data={}), uid="u", managedFields=list(entries)))["owned"]
    return owned


def test_our_field_sets_are_kept_whole_and_of_others_only_who_owns_content() -> None:
    owned = managed(
        entry("sluicegate", {"f:data": {"f:a": {}}}),
        entry("sluicegate", {"f:metadata": {}}),
        entry("kubectl", {"f:data": {"f:b": {}}}),
        entry("gitops", {"f:spec": {}, "f:metadata": {}}),
        entry("labeller", {"f:metadata": {"f:labels": {}}}),
        entry("kube-controller-manager", {"f:status": {}}, "status"),
    )
    assert owned == {
        "ours": ['{"f:data":{"f:a":{}}}', '{"f:metadata":{}}'],
        "foreign": ["gitops", "kubectl"],
    }


def test_the_status_manager_of_ours_is_no_owner_of_content() -> None:
    assert managed(entry("sluicegate-status", {"f:status": {}})) == {"ours": [], "foreign": []}


def test_equal_field_sets_of_different_objects_are_kept_once() -> None:
    fields = {"f:spec": {"f:replicas": {}}}
    first, second = managed(entry("sluicegate", fields)), managed(entry("sluicegate", fields))
    assert first["ours"][0] is second["ours"][0]


def test_a_secrets_values_are_not_kept_but_a_change_of_them_shows() -> None:
    def secret(value: str) -> dict[str, Any]:
        return trim(with_meta(a_child("Secret", data={"token": value}), uid="u", resourceVersion="1"))

    assert "c2VjcmV0" not in json.dumps(secret("c2VjcmV0"))
    assert secret("c2VjcmV0") == secret("c2VjcmV0")
    assert secret("c2VjcmV0")["dataDigest"] != secret("b3RoZXI=")["dataDigest"]


def test_a_replica_sets_template_is_not_kept() -> None:
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {}}}
    kept = trim(with_meta(a_child("ReplicaSet", spec=spec), uid="u", resourceVersion="1"))
    assert kept["spec"] == {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}


def test_a_pods_containers_keep_why_they_wait_or_ended() -> None:
    ended = {"reason": "Error", "exitCode": 1, "message": "no memory", "containerID": "x"}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "hostIP": "10.0.0.2",
        "containerStatuses": [
            {"name": "engine", "ready": False, "image": "x", "lastState": {"terminated": ended}, "state": {}}
        ],
    }
    pod = trim(with_meta(a_child("Pod", spec={"nodeName": "n", "containers": []}, status=status), uid="u"))
    assert pod["spec"] == {"nodeName": "n"}
    assert pod["status"]["podIP"] == "10.0.0.1"
    assert "hostIP" not in pod["status"]
    assert pod["status"]["containerStatuses"] == [
        {
            "name": "engine",
            "ready": False,
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "no memory"}},
        }
    ]


def test_a_recorded_revision_is_one_text() -> None:
    revision = trim(with_meta(a_child("ControllerRevision", data={"b": 1, "a": {}}, revision=1), uid="u"))
    assert revision["data"] == '{"a":{},"b":1}'


def test_only_our_own_annotations_are_kept() -> None:
    annotations = {"sluicegate.dev/intent": "x", "kubectl.kubernetes.io/last-applied-configuration": "y"}
    kept = trim(with_meta(a_child(data={}), uid="u", annotations=annotations))
    assert kept["metadata"]["annotations"] == {"sluicegate.dev/intent": "x"}


def test_a_kind_that_nobody_watches_is_refused() -> None:
    with pytest.raises(KeyError):
        trim({"apiVersion": "v1", "kind": "Endpoints", "metadata": {}})


def test_what_is_given_is_not_changed() -> None:
    obj = with_meta(a_child(data={"a": "b"}), uid="u", managedFields=[entry("sluicegate", {"f:data": {}})])
    before = json.dumps(obj)
    trim(obj)
    assert json.dumps(obj) == before


def test_a_cached_child_is_small() -> None:
    """A thousand deployments of nine children fit into a fraction of the operator's 250 MB."""
    labels = a_child()["metadata"]["labels"]
    fields = {
        "f:metadata": {"f:labels": {f"f:{name}": {} for name in labels}},
        "f:data": {"f:pointer.json": {}},
    }
    child = with_meta(a_child(data={}), uid="u", managedFields=[entry("sluicegate", fields)])
    assert sum(map(sys.getsizeof, _parts(trim(child)))) < 4_000


def _parts(value: Any) -> list[Any]:
    match value:
        case dict():
            return [value, *(part for each in value.values() for part in _parts(each))]
        case list():
            return [value, *(part for each in value for part in _parts(each))]
    return [value]
