"""Sets of fields of an object, as managedFields speaks of them.

A path is a tuple of elements in fieldsV1's own spelling: `f:name` a field or map key, `k:{"name":"x"}`
an item of a list-map, `v:"x"` an item of a set. A set holds the paths that are members; fieldsV1 writes a
member that has members below it as ".".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from tests.sim.server.schemas import Schema

Path = tuple[str, ...]
FieldSet = frozenset[Path]
_OPEN = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}


@lru_cache(4096)
def encode(fields: FieldSet) -> Mapping[str, Any]:
    """The set as fieldsV1."""
    root: dict[str, Any] = {}
    for path in sorted(fields):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return {element: _without_lonely_dot(node) for element, node in root.items()}


def _without_lonely_dot(node: dict[str, Any]) -> dict[str, Any]:
    if node.keys() == {"."}:
        return {}
    return {key: child if key == "." else _without_lonely_dot(child) for key, child in node.items()}


def decode(fields_v1: Mapping[str, Any]) -> FieldSet:
    """The set that fieldsV1 spells."""
    return frozenset(_spelled(fields_v1, ()))


def _spelled(node: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for element, below in node.items():
        if element == ".":
            yield path
        elif not below:
            yield (*path, element)
        else:
            yield from _spelled(below, (*path, element))


def spell(path: Path) -> str:
    """The path as conflicts name it: `.spec.ports[port=80,protocol="TCP"].name`."""
    words = []
    for element in path:
        sign, _, rest = element.partition(":")
        if sign == "k":
            keys = ",".join(f"{name}={_compact(value)}" for name, value in json.loads(rest).items())
            words.append(f"[{keys}]")
        else:
            words.append(f".{rest}" if sign == "f" else f"[={rest}]")
    return "".join(words)


def _compact(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


# --- what a schema makes of a value -----------------------------------------------------------------


def is_atomic(schema: Schema, value: Any) -> bool:
    """Whether the value is owned as one: scalars, and lists and maps unless the schema opens them."""
    if isinstance(value, list):
        return bool(schema.get("x-kubernetes-list-type", "atomic") == "atomic")
    if isinstance(value, dict):
        opaque = schema.get("type") == "object" and not _OPEN & schema.keys()
        return opaque or schema.get("x-kubernetes-map-type") == "atomic"
    return True


def is_declared(schema: Schema, name: str) -> bool:
    return name in schema.get("properties", {})


def child_schema(schema: Schema, name: str) -> Schema:
    declared = schema.get("properties", {}).get(name)
    if declared is None:
        extra = schema.get("additionalProperties")
        return extra if isinstance(extra, dict) else {}
    return declared  # type: ignore[no-any-return]


def item_schema(schema: Schema) -> Schema:
    return schema.get("items", {})  # type: ignore[no-any-return]


def item_element(schema: Schema, item: Any) -> str:
    """What names an item of a map-list or set."""
    if schema["x-kubernetes-list-type"] == "set":
        return "v:" + _compact(item)
    properties = item_schema(schema).get("properties", {})
    keys = {
        key: item.get(key, properties.get(key, {}).get("default"))
        for key in schema["x-kubernetes-list-map-keys"]
    }
    return "k:" + _compact({key: value for key, value in keys.items() if value is not None})


def children(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    """Element, schema and value of each part of a non-atomic list or map; null is absence."""
    if isinstance(value, dict):
        for name, part in value.items():
            if part is not None:
                yield f"f:{name}", child_schema(schema, name), part
    elif isinstance(value, list):
        for part in value:
            yield item_element(schema, part), item_schema(schema), part


def owned_by(schema: Schema, value: Any) -> FieldSet:
    """The fields that a manager owns who applies the value: leaves, list items and map entries."""
    found: set[Path] = set()
    _own(schema, value, (), found)
    return frozenset(found)


def _own(schema: Schema, value: Any, path: Path, into: set[Path]) -> None:
    if path and is_atomic(schema, value):
        into.add(path)
        return
    for element, below, part in children(schema, value):
        here = (*path, element)
        _own(below, part, here, into)
        if isinstance(value, list) or part == {} or not is_declared(schema, element[2:]):
            into.add(here)


def with_parents(schema: Schema, fields: FieldSet) -> FieldSet:
    """The set with every declared field that has a member below it."""
    found = set(fields)
    for path in fields:
        node = schema
        for depth, element in enumerate(path[:-1], 1):
            if _declares(node, element):
                found.add(path[:depth])
            node = _below(node, element)
    return frozenset(found)


def _declares(schema: Schema, element: str) -> bool:
    return element.startswith("f:") and is_declared(schema, element[2:])


def _below(schema: Schema, element: str) -> Schema:
    return child_schema(schema, element[2:]) if element.startswith("f:") else item_schema(schema)


# --- differences ------------------------------------------------------------------------------------


@dataclass
class Difference:
    """What differs from one value to another."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compare(schema: Schema, old: Any, new: Any) -> Difference:
    difference = Difference()
    _compare(schema, old, new, (), difference)
    return difference


def _compare(schema: Schema, old: Any, new: Any, path: Path, into: Difference) -> None:
    if old == new:
        return
    shape = old if new is None else new
    if path and (is_atomic(schema, shape) or (type(old) is not type(new) and None not in (old, new))):
        if old is not None and new is not None:
            into.modified.add(path)
    else:
        before, after = dict(_keyed(schema, old)), dict(_keyed(schema, new))
        for element, (below, _) in (before | after).items():
            was, now = (side.get(element, _NOTHING)[1] for side in (before, after))
            _compare(below, was, now, (*path, element), into)
    if old is None:
        into.added.add(path)
    elif new is None:
        into.removed.add(path)


_NOTHING: tuple[Schema, Any] = ({}, None)


def _keyed(schema: Schema, value: Any) -> Iterator[tuple[str, tuple[Schema, Any]]]:
    if value is None or is_atomic(schema, value):
        return
    for element, below, part in children(schema, value):
        yield element, (below, part)


def remove(schema: Schema, value: Any, fields: FieldSet, path: Path = ()) -> Any:
    """The value without the fields; what loses all its parts goes too."""
    fields = frozenset(each for each in fields if each[: len(path)] == path)
    if not fields or (path and is_atomic(schema, value)):
        return value
    kept = [
        (element, remove(below, part, fields, (*path, element)))
        for element, below, part in children(schema, value)
        if (*path, element) not in fields
    ]
    kept = [(element, part) for element, part in kept if part is not None]
    if not kept and path:
        return None
    return (
        [part for _, part in kept]
        if isinstance(value, list)
        else {element[2:]: part for element, part in kept}
    )
