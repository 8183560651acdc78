"""What the caches keep of each kind: only what a decision reads.

A thousand deployments have nine thousand children; kept whole they would need most of a gigabyte. Strings
that many objects have in common (labels, owners, field sets) are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

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
_CONTAINER = ("name", "restartCount")
_STATE = ("reason", "message", "exitCode", "startedAt", "finishedAt")
_CONDITION = ("type", "status", "message")


def trim(obj: Manifest) -> Trimmed:
    """The object with what is kept of its kind; KeyError for a kind that no cache holds.

    Added to it is `owned`, all that core.intent reads of managedFields. A ControllerRevision's `data` is one
    JSON text. What is left out wakes nobody when it changes, either.
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
    # The template is read live where it is needed.
    status = {"conditions": _conditions(obj, "ReplicaFailure")}
    return {**_child(obj), "spec": _only(obj["spec"], ("replicas",)), "status": status}


def _job(obj: Manifest) -> Trimmed:
    conditions = _conditions(obj, "Failed", "Complete", "Suspended", fields=(*_CONDITION, "reason"))
    return {**_child(obj), "status": {"conditions": conditions}}


def _controller_revision(obj: Manifest) -> Trimmed:
    return {**_child(obj), "data": _json(obj.get("data"))}


def _service(obj: Manifest) -> Trimmed:
    return {**_child(obj), "spec": _only(obj["spec"], ("clusterIP", "selector"))}


def _config_map(obj: Manifest) -> Trimmed:
    return {**_child(obj), "data": obj.get("data") or {}}


def _pod(obj: Manifest) -> Trimmed:
    status = obj.get("status") or {}
    containers = {
        field: [_container(each) for each in status[field]]
        for field in ("initContainerStatuses", "containerStatuses")
        if field in status
    }
    conditions = _conditions(obj, "Ready", "PodScheduled", fields=(*_CONDITION, "lastTransitionTime"))
    return {
        "metadata": _owned_metadata(obj["metadata"]),
        "status": {**_only(status, ("phase", "podIP")), "conditions": conditions, **containers},
    }


def _node(obj: Manifest) -> Trimmed:
    return {
        "metadata": _only(obj["metadata"], ("name", "resourceVersion")),
        "status": _only(obj.get("status") or {}, ("allocatable",)),
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


def _conditions(obj: Manifest, *kinds: str, fields: tuple[str, ...] = _CONDITION) -> list[Trimmed]:
    found = (obj.get("status") or {}).get("conditions") or ()
    return [_only(each, fields) for each in found if each["type"] in kinds]


def _owned_metadata(metadata: Manifest) -> Trimmed:
    owners = [_only(each, _OWNER) for each in metadata.get("ownerReferences") or ()]
    return {**_only(metadata, _METADATA), "ownerReferences": owners}


def _only(mapping: Manifest, fields: tuple[str, ...]) -> Trimmed:
    return {field: mapping[field] for field in fields if field in mapping}


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


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
    "Secret": _child,
    "PodDisruptionBudget": _child,
    "NetworkPolicy": _child,
    "Job": _job,
    "Node": _node,
    "ModelVersion": _model_version,
}
