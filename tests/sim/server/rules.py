"""What the API server refuses by code rather than by schema, as far as our kinds can run into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tests.sim.server.kinds import Kind
from tests.sim.server.structure import violations

from sluicegate.kube.errors import Cause

Object = Mapping[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")

_IMMUTABLE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ReplicaSet": (("spec", "selector"),),
    "Deployment": (("spec", "selector"),),
    "Job": (("spec", "selector"), ("spec", "template"), ("spec", "completions")),
    "ControllerRevision": (("data",),),
    "Secret": (("type",),),
    "EndpointSlice": (("addressType",),),
}


def of_object(kind: Kind, obj: Object, old: Object = MappingProxyType({})) -> Iterator[Cause]:
    """What is wrong with an object in itself. What it shares with the `old` one was looked at before."""
    yield from _metadata(kind, obj["metadata"])
    spec = {name: part for name, part in obj.items() if name != "status" or kind.custom}
    yield from violations(kind.schema, spec, like=old)
    yield from _selector(kind, obj)
    if kind.scale is not None:
        replicas = _at(obj, kind.scale.replicas)
        if replicas is not None and (type(replicas) is not int or replicas < 0):
            path = ".".join(("", *kind.scale.replicas))
            yield Cause(path, "should be a non-negative integer", "FieldValueInvalid")
    if kind.resource.kind == "Service" and not obj["spec"].get("ports"):
        yield Cause("spec.ports", "Required value", "FieldValueRequired")
    if (
        kind.resource.kind == "PodDisruptionBudget"
        and {"minAvailable", "maxUnavailable"} <= obj["spec"].keys()
    ):
        yield Cause("spec", "minAvailable and maxUnavailable cannot be both set", "FieldValueInvalid")


def of_change(kind: Kind, old: Object, new: Object) -> Iterator[Cause]:
    """What is wrong with an object as the successor of another."""
    if new["metadata"].get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        yield Cause("metadata.uid", "field is immutable", "FieldValueInvalid")
    for path in _IMMUTABLE.get(kind.resource.kind, ()):
        if _at(old, path) != _at(new, path):
            yield Cause(".".join(path), "field is immutable", "FieldValueInvalid")
    if old.get("immutable") and (old.get("data"), old.get("binaryData")) != (
        new.get("data"),
        new.get("binaryData"),
    ):
        yield Cause("data", "field is immutable when `immutable` is set", "FieldValueForbidden")
    added = set(new["metadata"].get("finalizers", ())) - set(old["metadata"].get("finalizers", ()))
    if old["metadata"].get("deletionTimestamp") and added:
        message = f"no new finalizers can be added if the object is being deleted, found {sorted(added)}"
        yield Cause("metadata.finalizers", message, "FieldValueForbidden")


def _metadata(kind: Kind, meta: Object) -> Iterator[Cause]:
    name = meta.get("name", "")
    if not name:
        yield Cause("metadata.name", "name or generateName is required", "FieldValueRequired")
        return
    pattern, longest = (_SERVICE_NAME, 63) if kind.resource.kind == "Service" else (_SUBDOMAIN, 253)
    if not pattern.fullmatch(name) or len(name) > longest:
        yield Cause("metadata.name", f"Invalid value: {name!r}", "FieldValueInvalid")
    for key, value in meta.get("labels", {}).items():
        if not _LABEL_VALUE.fullmatch(value) or len(value) > 63:
            yield Cause("metadata.labels", f"Invalid value: {value!r} of {key}", "FieldValueInvalid")


def _selector(kind: Kind, obj: Object) -> Iterator[Cause]:
    if kind.resource.kind not in ("ReplicaSet", "Deployment") or "selector" not in obj["spec"]:
        return
    wanted = obj["spec"]["selector"].get("matchLabels", {})
    labels = obj["spec"]["template"].get("metadata", {}).get("labels", {})
    if not wanted:
        yield Cause("spec.selector", "empty selector is invalid", "FieldValueInvalid")
    elif not wanted.items() <= labels.items():
        message = f"Invalid value: {labels}: `selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", message, "FieldValueInvalid")


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    found: Any = obj
    for name in path:
        found = (found or {}).get(name)
    return found
