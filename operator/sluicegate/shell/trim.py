"""What the caches keep of each kind: only what a decision reads.

A thousand deployments have nine thousand children; kept whole they would need most of a gigabyte. Strings
that many objects have in common (labels, owners, field sets) are kept once.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sluicegate.core.naming import MANAGER
from sluicegate.core.objects import Manifest

Trimmed = dict[str, Any]

_OWN_PREFIX = "sluicegate.dev/"
_LONGEST_SHARED = 4096
_CONTENT = frozenset({"f:spec", "f:data", "f:rules"})

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
)
_OWNER = ("apiVersion", "kind", "name", "uid", "controller")
_WORKLOAD_STATUS = (
    "observedGeneration",
    "replicas",
    "readyReplicas",
    "availableReplicas",
    "active",
    "succeeded",
    "failed",
    "conditions",
)
_POD_STATUS = ("phase", "reason", "message", "podIP", "conditions")
_CONTAINER = ("name", "ready", "started", "restartCount")
_STATE = ("reason", "message", "exitCode", "startedAt", "finishedAt")
_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")


def trim(obj: Manifest) -> Trimmed:
    """The object with what is kept of its kind; KeyError for a kind that no cache holds.

    Added to it are `owned`, all that core.intent reads of managedFields, and instead of a Secret's values
    `dataDigest`. A ControllerRevision's `data` is one JSON text.
    """
    kept = _BY_KIND[obj["kind"]](obj)
    shared: Trimmed = _shared({"apiVersion": obj["apiVersion"], "kind": obj["kind"], **kept})
    return shared


def _child(obj: Manifest) -> Trimmed:
    """What is kept of every object that we apply: whose it is, and whether it is as we left it."""
    meta = obj["metadata"]
    annotations = meta.get("annotations") or {}
    metadata = {
        **_owned_metadata(meta),
        "annotations": {key: text for key, text in annotations.items() if key.startswith(_OWN_PREFIX)},
    }
    return {"metadata": metadata, "owned": _owned(meta.get("managedFields") or ())}


def _owned(managed_fields: Iterable[Manifest]) -> Trimmed:
    """The field sets of our own entries as JSON texts, and who else owns anything of the content."""
    entries = list(managed_fields)
    ours = [_json(entry.get("fieldsV1") or {}) for entry in entries if entry.get("manager") == MANAGER]
    foreign = {
        entry.get("manager", "")
        for entry in entries
        if entry.get("manager") != MANAGER and _CONTENT.intersection(entry.get("fieldsV1") or ())
    }
    return {"ours": ours, "foreign": sorted(foreign)}


def _replica_set(obj: Manifest) -> Trimmed:
    return {
        **_child(obj),
        "spec": _only(obj["spec"], ("replicas", "selector")),
        "status": _status(obj, _WORKLOAD_STATUS),
    }


def _job(obj: Manifest) -> Trimmed:
    return {**_child(obj), "status": _status(obj, _WORKLOAD_STATUS)}


def _controller_revision(obj: Manifest) -> Trimmed:
    return {**_child(obj), "revision": obj.get("revision"), "data": _json(obj.get("data"))}


def _service(obj: Manifest) -> Trimmed:
    return {**_child(obj), "spec": _only(obj["spec"], ("type", "selector", "clusterIP", "ports"))}


def _config_map(obj: Manifest) -> Trimmed:
    return {**_child(obj), "data": obj.get("data") or {}}


def _secret(obj: Manifest) -> Trimmed:
    data = _json(obj.get("data") or {})
    return {**_child(obj), "dataDigest": hashlib.sha256(data.encode()).hexdigest()}


def _pod(obj: Manifest) -> Trimmed:
    status = obj.get("status") or {}
    containers = {
        field: [_container(each) for each in status[field]]
        for field in ("initContainerStatuses", "containerStatuses")
        if field in status
    }
    return {
        "metadata": _owned_metadata(obj["metadata"]),
        "spec": _only(obj["spec"], ("nodeName",)),
        "status": {**_status(obj, _POD_STATUS), **containers},
    }


def _node(obj: Manifest) -> Trimmed:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    # The heartbeat stays out: it would make every node change each few minutes.
    ready = [_only(each, ("type", "status", "reason")) for each in conditions if each["type"] == "Ready"]
    return {
        "metadata": _only(obj["metadata"], _METADATA),
        "spec": _only(obj.get("spec") or {}, ("taints", "unschedulable")),
        "status": {**_only(obj.get("status") or {}, ("allocatable", "capacity")), "conditions": ready},
    }


def _model_version(obj: Manifest) -> Trimmed:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {"metadata": metadata, "spec": obj.get("spec") or {}, "status": obj.get("status") or {}}


def _container(status: Manifest) -> Trimmed:
    states = {
        field: {name: _only(state, _STATE) for name, state in status[field].items()}
        for field in ("state", "lastState")
        if status.get(field)
    }
    return {**_only(status, _CONTAINER), **states}


def _status(obj: Manifest, fields: tuple[str, ...]) -> Trimmed:
    status = _only(obj.get("status") or {}, fields)
    if "conditions" in status:
        status["conditions"] = [_only(each, _CONDITION) for each in status["conditions"]]
    return status


def _owned_metadata(metadata: Manifest) -> Trimmed:
    owners = [_only(each, _OWNER) for each in metadata.get("ownerReferences") or ()]
    return {**_only(metadata, _METADATA), "ownerReferences": owners}


def _only(mapping: Manifest, fields: tuple[str, ...]) -> Trimmed:
    return {field: mapping[field] for field in fields if field in mapping}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _shared(value: Any) -> Any:
    """The same JSON value, in which equal strings are one object across all values."""
    match value:
        case str():
            return sys.intern(value) if len(value) <= _LONGEST_SHARED else value
        case dict():
            return {sys.intern(key): _shared(each) for key, each in value.items()}
        case list():
            return [_shared(each) for each in value]
    return value


_BY_KIND: Mapping[str, Callable[[Manifest], Trimmed]] = {
    "ReplicaSet": _replica_set,
    "ControllerRevision": _controller_revision,
    "Pod": _pod,
    "Service": _service,
    "ConfigMap": _config_map,
    "Secret": _secret,
    "PodDisruptionBudget": _child,
    "NetworkPolicy": _child,
    "Job": _job,
    "Node": _node,
    "ModelVersion": _model_version,
}
