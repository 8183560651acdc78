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


def test_of_a_secret_only_who_owns_what_is_kept() -> None:
    secret = with_meta(a_child("Secret", data={"token": "c2VjcmV0"}), uid="u", resourceVersion="1")
    assert "c2VjcmV0" not in json.dumps(trim(secret))


def test_a_replica_set_keeps_why_it_makes_no_pods() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "quota"}
    status = {"replicas": 2, "conditions": [{**refused, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {}}}
    kept = trim(with_meta(a_child("ReplicaSet", spec=spec, status=status), uid="u", resourceVersion="1"))
    assert (kept["spec"], kept["status"]) == ({"replicas": 2}, {"conditions": [refused]})


def test_a_job_keeps_how_it_ended_and_whether_it_is_held_back() -> None:
    conditions = [
        {"type": kind, "status": "True", "reason": "DeadlineExceeded"}
        for kind in ("Suspended", "Complete", "Failed", "FailureTarget")
    ]
    kept = trim(with_meta(a_child("Job", spec={}, status={"active": 1, "conditions": conditions}), uid="u"))
    assert kept["status"] == {"conditions": conditions[:3]}


def test_a_pod_keeps_where_it_is_whether_it_is_ready_and_why_its_containers_wait_or_ended() -> None:
    since = {"lastTransitionTime": "2026-01-01T12:00:00Z"}
    lived = {"startedAt": "2026-01-01T12:00:00Z", "finishedAt": "2026-01-01T12:00:20Z"}
    ended = {"reason": "Error", "exitCode": 1, "message": "no memory", **lived}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "hostIP": "10.0.0.2",
        "conditions": [
            {"type": kind, "status": "True", **since, "lastProbeTime": None}
            for kind in ("Initialized", "PodScheduled", "Ready")
        ],
        "containerStatuses": [
            {
                "name": "engine",
                "restartCount": 1,
                "image": "x",
                "lastState": {"terminated": {**ended, "containerID": "x"}},
                "state": {},
            }
        ],
    }
    pod = trim(with_meta(a_child("Pod", spec={"nodeName": "n", "containers": []}, status=status), uid="u"))
    assert "spec" not in pod
    assert pod["status"] == {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": kind, "status": "True", **since} for kind in ("PodScheduled", "Ready")],
        "containerStatuses": [
            {
                "name": "engine",
                "restartCount": 1,
                "lastState": {"terminated": ended},
            }
        ],
    }


def test_a_service_keeps_its_address_and_what_it_selects_and_a_node_what_it_has_room_for() -> None:
    reaches = {"clusterIP": "10.0.0.1", "selector": {"app": "chat"}}
    service = trim(with_meta(a_child("Service", spec={**reaches, "ports": []}), uid="u"))
    assert service["spec"] == reaches
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "gpu-1", "resourceVersion": "1", "labels": {"zone": "a"}},
        "spec": {"taints": [{"key": "x"}]},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "capacity": {"nvidia.com/gpu": "8"}},
    }
    assert trim(node) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "gpu-1", "resourceVersion": "1"},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}},
    }


def test_a_recorded_revision_is_one_text() -> None:
    revision = trim(with_meta(a_child("ControllerRevision", data={"b": 1, "a": {}}), uid="u"))
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
