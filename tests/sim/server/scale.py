"""The `scale` subresource: a custom resource's replicas under a common name."""

from __future__ import annotations

from typing import Any

from tests.sim.server.kinds import Kind
from tests.sim.server.store import Object


def shown(kind: Kind, obj: Object) -> Object:
    """The object as an autoscaling/v1 Scale."""
    assert kind.scale is not None
    meta = obj["metadata"]
    status = {"replicas": _at(obj, kind.scale.status_replicas) or 0}
    selector = _at(obj, kind.scale.selector)
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in names if name in meta},
        "spec": {"replicas": _at(obj, kind.scale.replicas)},
        "status": status | ({"selector": selector} if selector else {}),
    }


def merged(kind: Kind, obj: Object, body: Object) -> Object:
    """The merge patch of the object that a write of its Scale amounts to."""
    assert kind.scale is not None
    replicas = body.get("spec", {}).get("replicas", _at(obj, kind.scale.replicas))
    patch: Any = replicas
    for name in reversed(kind.scale.replicas):
        patch = {name: patch}
    version = body.get("metadata", {}).get("resourceVersion")
    return {**patch, **({"metadata": {"resourceVersion": version}} if version else {})}


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    found: Any = obj
    for name in path:
        found = (found or {}).get(name)
    return found
