"""Kubernetes objects as decisions see them: plain JSON mappings, read through a few accessors.

An object is the mapping that the API server sent, trimmed by the informer to what is read here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Ref:
    """Names one object: apiVersion, kind, namespace ("" for cluster-scoped kinds) and name."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ref(obj: Manifest) -> Ref:
    meta = obj["metadata"]
    return Ref(obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"])


def name(obj: Manifest) -> str:
    return str(obj["metadata"]["name"])


def uid(obj: Manifest) -> str:
    return str(obj["metadata"]["uid"])


def resource_version(obj: Manifest) -> str:
    return str(obj["metadata"]["resourceVersion"])


def labels(obj: Manifest) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotation(obj: Manifest, key: str) -> str | None:
    value = (obj["metadata"].get("annotations") or {}).get(key)
    return None if value is None else str(value)


def terminating(obj: Manifest) -> bool:
    return obj["metadata"].get("deletionTimestamp") is not None


def overdue(obj: Manifest, now: datetime) -> bool:
    """Whether its deletion, grace period included, should have ended by now."""
    until = obj["metadata"].get("deletionTimestamp")
    return until is not None and datetime.fromisoformat(until) < now


def until_overdue(objs: Iterable[Manifest], now: datetime) -> Iterator[timedelta]:
    """In how much time each of those that are being deleted is overdue."""
    for obj in objs:
        if until := obj["metadata"].get("deletionTimestamp"):
            yield datetime.fromisoformat(until) - now + timedelta(seconds=1)


def controller_uid(obj: Manifest) -> str | None:
    """The uid of the object's controlling owner, or None where it has none."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def condition(obj: Manifest, kind: str) -> Mapping[str, Any] | None:
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return found  # type: ignore[no-any-return]
    return None


def is_true(obj: Manifest, kind: str) -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def by_name(objects: Iterable[Manifest]) -> dict[str, Manifest]:
    return {name(obj): obj for obj in objects}
