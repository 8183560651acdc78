"""What a structural schema does to an object: prunes, fills in defaults, and finds what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tests.sim.server.schemas import Schema
from tests.sim.server.store import copied

from sluicegate.kube.errors import Cause

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}


def pruned(schema: Schema, value: Any) -> Any:
    """The value without the fields that the schema doesn't know."""
    if isinstance(value, list):
        return [pruned(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict) or ("properties" not in schema and not _extra(schema)):
        return value
    kept = {}
    for name, part in value.items():
        below = schema.get("properties", {}).get(name, _extra(schema))
        if below:
            kept[name] = pruned(below, part)
        elif schema.get("x-kubernetes-preserve-unknown-fields"):
            kept[name] = part
    return kept


def _extra(schema: Schema) -> Schema:
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, dict) else {}


def defaulted(schema: Schema, value: Any) -> Any:
    """The value with the schema's defaults; a null where a default stands gives way to it."""
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {
        name: part
        for name, part in value.items()
        if part is not None or schema.get("properties", {}).get(name, {}).get("nullable")
    }
    for name, below in schema.get("properties", {}).items():
        if name not in filled and "default" in below:
            filled[name] = copied(below["default"])
    for name, part in filled.items():
        filled[name] = defaulted(schema.get("properties", {}).get(name, _extra(schema)), part)
    return filled


def completed(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """An object whose parts have their defaults, with those of the parts that it lacks."""
    lacking = {
        name: defaulted(below, copied(below["default"]))
        for name, below in schema.get("properties", {}).items()
        if name not in value and "default" in below
    }
    return {**value, **lacking}


def violations(
    schema: Schema, value: Any, path: str = "", like: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[Cause]:
    """What breaks the schema, each with the path of its field. What the value shares with `like` is valid."""
    if "type" in schema and not _is(schema["type"], value):
        found = _KINDS.get(type(value), "null")
        yield Cause(path, f"must be of type {schema['type']}: {found!r}", "FieldValueTypeInvalid")
        return
    yield from _value_violations(schema, value, path)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield Cause(_join(path, name), "Required value", "FieldValueRequired")
        for name, part in value.items():
            below = schema.get("properties", {}).get(name, _extra(schema))
            if below and part is not like.get(name) and not (path == "" and name == "metadata"):
                declared = name in schema.get("properties", {})
                yield from violations(below, part, _join(path, name) if declared else f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(schema.get("items", {}), item, f"{path}[{index}]")
        yield from _duplicates(schema, value, path)


def untypable(schema: Schema, value: Any, path: str = "") -> str | None:
    """Why a server-side apply cannot read the value at all (undeclared field, other type); None if it can."""
    if value is None or schema.get("x-kubernetes-int-or-string") or "type" not in schema:
        return None
    if not _is(schema["type"], value):
        return f"{path}: expected {schema['type']}, got {value!r}"
    if isinstance(value, list):
        found = (untypable(schema.get("items", {}), item, f"{path}[{at}]") for at, item in enumerate(value))
        return next((why for why in found if why), None)
    if not isinstance(value, dict) or ("properties" not in schema and not _extra(schema)):
        return None
    for name, part in value.items():
        below = schema.get("properties", {}).get(name, _extra(schema))
        if not below and not schema.get("x-kubernetes-preserve-unknown-fields"):
            return f"{path}.{name}: field not declared in schema"
        if why := untypable(below, part, f"{path}.{name}"):
            return why
    return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _value_violations(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-int-or-string") and (
        isinstance(value, bool) or not isinstance(value, int | str)
    ):
        yield Cause(path, "must be an integer or a string", "FieldValueTypeInvalid")
    if "enum" in schema and value not in schema["enum"]:
        yield Cause(path, f"Unsupported value: {json.dumps(value)}", "FieldValueNotSupported")
    if isinstance(value, str):
        yield from _length(schema, len(value), path, "Length")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield Cause(path, f"should match {schema['pattern']!r}", "FieldValueInvalid")
    elif isinstance(value, list):
        yield from _length(schema, len(value), path, "Items")
    elif isinstance(value, dict):
        yield from _length(schema, len(value), path, "Properties")
    elif isinstance(value, int | float):
        within = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        if not within:
            yield Cause(path, f"out of bounds: {value}", "FieldValueInvalid")


def _length(schema: Schema, length: int, path: str, of: str) -> Iterator[Cause]:
    most = schema.get(f"max{of}")
    if most is not None and length > most:
        reason = "FieldValueTooMany" if of != "Length" else "FieldValueTooLong"
        yield Cause(path, f"may not be more than {most}", reason)
    if length < schema.get(f"min{of}", 0):
        yield Cause(path, f"should be at least {schema[f'min{of}']}", "FieldValueInvalid")


def _duplicates(schema: Schema, items: list[Any], path: str) -> Iterator[Cause]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None and schema.get("x-kubernetes-list-type") != "set":
        return
    seen = []
    for index, item in enumerate(items):
        if keys is not None and not isinstance(item, dict):
            continue
        name = item if keys is None else {key: item.get(key) for key in keys}
        if name in seen:
            yield Cause(f"{path}[{index}]", f"Duplicate value: {json.dumps(name)}", "FieldValueDuplicate")
        seen.append(name)
