"""Does a live object still say what was intended, and if not, how to put it right.

Comparing values loops on the server's normalisation (`1000m` becomes `1`). So the intent's hash is kept in
an annotation, and what happened to the object since is read from its managedFields: a field that somebody
else changed is no longer ours, and a field that somebody else added is theirs.

The informer keeps of managedFields `owned: {ours, foreign}`: the JSON text of the fieldsV1 of each of our
entries, and the names of other managers that own anything inside spec, data or rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from sluicegate.core.naming import INTENT, digest_of
from sluicegate.core.objects import Manifest, annotation, resource_version, uid
from sluicegate.core.plan import Action, Apply, Create, Replace

Fields = Mapping[str, Any]

IMMUTABLE = frozenset({"ControllerRevision"})
"""Kinds whose content never changes. Nobody can add to it: whoever owns some of it has applied the same."""


def stamped(manifest: Manifest) -> dict[str, Any]:
    """The manifest with the hash of its intent in an annotation."""
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), INTENT: digest_of(manifest, 16)}
    return {**manifest, "metadata": metadata}


def write(intent: Manifest, live: Manifest | None, reason: str) -> Action | None:
    """The write that brings the live object to its stamped intent, or None where it is there already."""
    if live is None:
        return Create(intent, reason)
    if annotation(live, INTENT) != annotation(intent, INTENT) or not _still_ours(intent, live):
        return Apply(intent, uid(live), resource_version(live), reason)
    if live["owned"]["foreign"] and intent["kind"] not in IMMUTABLE:
        return Replace(intent, uid(live), resource_version(live), "somebody else added to it")
    return None


def owns_annotation(live: Manifest, key: str) -> bool:
    """Whether an annotation of the live object is still as one of our writes left it."""
    entries = (orjson.loads(text).get("f:metadata", {}) for text in live["owned"]["ours"])
    return any(f"f:{key}" in entry.get("f:annotations", ()) for entry in entries)


def _still_ours(intent: Manifest, live: Manifest) -> bool:
    """Whether every field of the intent is owned by one of our entries: a create's or a later apply's."""
    entries = tuple(live["owned"]["ours"])
    verdict = _verdict(entries, intent["metadata"]["annotations"][INTENT])
    if not verdict:
        verdict.append(bool(entries) and _covered(entries, intent))
    return verdict[0]


# Asked at each pass, of objects that hardly ever change: of seven for each of a thousand deployments.
@lru_cache(maxsize=8192)
def _verdict(entries: tuple[str, ...], hash: str) -> list[bool]:
    """Where the verdict on an intent with this hash is kept, once there is one. The intent itself is not."""
    return []


def _covered(entries: tuple[str, ...], intent: Manifest) -> bool:
    intended = {key: value for key, value in intent.items() if key not in _TYPE}
    metadata = {key: value for key, value in intent["metadata"].items() if key not in _IDENTITY}
    owned = _owned(_union([orjson.loads(text) for text in entries]))
    return owned.covers({**intended, "metadata": metadata})


# The server keeps these out of managedFields.
_TYPE = frozenset({"apiVersion", "kind"})
_IDENTITY = frozenset({"name", "namespace"})
# The maps, of those that we write, that it records as one value. Of any other, a record with nothing below it
# is what is left when somebody has emptied it.
_WHOLE = frozenset({"data", "labelSelector", "nodeSelector", "podSelector", "secretKeyRef", "selector"})


@dataclass(frozen=True)
class _Owned:
    """A node of fieldsV1. Its value is owned wholly, or the fields, the items and the values named are.

    Items go by the keys that tell them apart.
    """

    wholly: bool
    fields: Mapping[str, _Owned]
    items: tuple[tuple[Mapping[str, Any], _Owned], ...]
    values: tuple[Any, ...]

    def covers(self, value: Any) -> bool:
        """Whether every leaf of `value` is owned."""
        if self.wholly:
            return True
        if isinstance(value, Mapping):
            return all(self._covers_field(key, item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return all(self._covers_item(item) for item in value)
        # The record tells of a structure where we intend a plain value: it is of somebody else's.
        return False

    def _covers_field(self, key: str, value: Any) -> bool:
        node = self.fields.get(key)
        if node is None:
            return False
        if node.wholly and value and isinstance(value, Mapping):
            return key in _WHOLE
        return node.covers(value)

    def _covers_item(self, item: Any) -> bool:
        if item in self.values:
            return True
        node = next((node for keys, node in self.items if _is_item(keys, item)), None)
        return node is not None and node.covers(item)


def _union(nodes: list[Fields]) -> Fields:
    if len(nodes) == 1:
        return nodes[0]
    keys = {key for node in nodes for key in node}
    return {key: _union([node[key] for node in nodes if key in node]) for key in keys}


def _owned(node: Fields) -> _Owned:
    named = [(*key.partition(":")[::2], below) for key, below in node.items()]
    return _Owned(
        wholly=not node,
        fields={text: _owned(below) for kind, text, below in named if kind == "f"},
        items=tuple((orjson.loads(text), _owned(below)) for kind, text, below in named if kind == "k"),
        values=tuple(orjson.loads(text) for kind, text, _ in named if kind == "v"),
    )


def _is_item(keys: Mapping[str, Any], item: Any) -> bool:
    """Whether the keys name this item; a key that the intent leaves out was filled in by the server."""
    return isinstance(item, Mapping) and all(item.get(name, value) == value for name, value in keys.items())
