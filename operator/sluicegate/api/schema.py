"""Structural schemas from pydantic models.

pydantic's JSON schema becomes what the API server takes: references inlined, nulls and titles dropped,
defaults whole so that rules find them, list types and CEL rules from the models' own tags.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sluicegate.api.meta import Change, ListMap, ListType, Model, Rule

Schema = dict[str, Any]

CHANGE_TEXT = {
    Change.TEMPLATE: "A change makes new pods.",
    Change.RUNTIME: "A change is told to the running pods.",
    Change.OPERATOR: "A change is carried out by the operator alone.",
    # Said once, of the whole spec.
    Change.NEVER: "",
    None: "",
}
INT32_MAX = 2**31 - 1


def struct(model: type[Model], *, defaults: bool = True) -> Schema:
    """The node of a model. Without `defaults` an absent field stays absent, as in a status."""
    generated = model.model_json_schema()
    definitions = generated.get("$defs", {})
    properties = {}
    for info in model.model_fields.values():
        name = str(info.alias)
        node = _without_null(generated["properties"][name])
        properties[name] = _field(info, node, definitions, defaults=defaults)
    required = generated.get("required", [])
    return {
        "type": "object",
        "description": prose(model.__doc__),
        **({"required": required} if required else {}),
        "properties": properties,
        **validations(model.RULES),
    }


def _field(
    info: FieldInfo, generated: Schema, definitions: Mapping[str, Schema], *, defaults: bool
) -> Schema:
    model = model_in(info.annotation)
    if generated.get("type") == "array":
        node = _bounds(generated, definitions) | _list_type(info.metadata)
        if model is not None:
            node["items"] = struct(model, defaults=defaults)
    elif model is not None:
        node = struct(model, defaults=defaults)
    else:
        node = _bounds(generated, definitions)
    text = f"{prose(info.description)} {CHANGE_TEXT[change_of(info)]}".strip()
    node.pop("description", None)
    default = _default(info, generated)
    return {"description": text, **node} | ({"default": default} if defaults and default is not None else {})


def _default(info: FieldInfo, generated: Schema) -> Any:
    """The default that the API server fills in; None for none.

    A struct's is whole, not {}: the API server judges the rules of a default before it fills it in.
    An empty list, map or string says the same as its absence and would only clutter each object.
    """
    if info.default is PydanticUndefined:
        return None
    if isinstance(info.default, Model):
        return _pruned(info.default.model_dump(mode="json", by_alias=True)) or {}
    return _pruned(generated.get("default"))


def _pruned(value: Any) -> Any:
    """The value without what says the same as its absence, or None where that is all of it."""
    if isinstance(value, dict):
        kept = {key: _pruned(inner) for key, inner in value.items()}
        value = {key: inner for key, inner in kept.items() if inner is not None}
    return None if value in ([], {}, "") else value


def _bounds(generated: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The node of a value that is no model of ours, without what structural schemas don't know."""
    generated = _resolved(generated, definitions)
    node = {key: value for key, value in generated.items() if key not in _UNKNOWN}
    if "const" in generated:
        node["enum"] = [generated["const"]]
    if "items" in generated:
        node["items"] = _bounds(generated["items"], definitions)
    if "additionalProperties" in generated or "patternProperties" in generated:
        node |= _map(generated, definitions)
    if "x-kubernetes-int-or-string" in node:
        del node["type"]
    elif node["type"] == "integer" and "format" not in node:
        node["format"] = "int32" if node.get("maximum", INT32_MAX) <= INT32_MAX else "int64"
    return node


_UNKNOWN = frozenset({"title", "default", "description", "const", "propertyNames", "patternProperties"})


def _map(generated: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A map's values, and the bounds on its keys as rules: structural schemas have none, CEL has."""
    by_pattern = generated.get("patternProperties", {"": generated.get("additionalProperties")})
    ((pattern, values),) = by_pattern.items()
    names = generated.get("propertyNames", {})
    rules = []
    if longest := names.get("maxLength"):
        rules.append(
            Rule(f"self.all(key, key.size() <= {longest})", f"keys have at most {longest} characters", None)
        )
    if pattern:
        form = names.get("description", pattern)
        rules.append(Rule(f"self.all(key, key.matches('{pattern}'))", f"keys must read {form}", None))
    return {"additionalProperties": _bounds(values, definitions), **validations(tuple(rules))}


def _resolved(generated: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" not in generated:
        return generated
    siblings = {k: v for k, v in generated.items() if k != "$ref"}
    return {**definitions[generated["$ref"].removeprefix("#/$defs/")], **siblings}


def _without_null(generated: Schema) -> Schema:
    """`X | None` is X that may be left out: structural schemas know null only where it means something."""
    if "anyOf" not in generated:
        return generated
    (kept,) = (option for option in generated["anyOf"] if option != {"type": "null"})
    return {**kept, **{k: v for k, v in generated.items() if k not in ("anyOf", "default")}}


def _list_type(metadata: list[Any]) -> Schema:
    for tag in metadata:
        if isinstance(tag, ListMap):
            return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(tag.keys)}
        if isinstance(tag, ListType):
            return {"x-kubernetes-list-type": tag.value}
    raise TypeError("a list needs a ListType or ListMap tag: server-side apply must know how to merge it")


def validations(rules: tuple[Rule, ...]) -> Schema:
    if not rules:
        return {}
    return {
        "x-kubernetes-validations": [
            {"rule": rule.cel, "message": rule.message, **({"fieldPath": rule.path} if rule.path else {})}
            for rule in rules
        ]
    }


def change_of(info: FieldInfo) -> Change | None:
    """What a change of the field does, or None where the fields below it say so."""
    return next((tag for tag in info.metadata if isinstance(tag, Change)), None)


def fields_below(model: type[Model], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field under `model` with its path, structs before what is in them."""
    for info in model.model_fields.values():
        here = f"{path}.{info.alias}" if path else str(info.alias)
        yield here, info
        inner = model_in(info.annotation)
        if inner is not None:
            yield from fields_below(inner, here)


def unknown_fields(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Path of each field that the schema does not name: a strict client refuses the object for it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(schema.get("items", {}), item, f"{path}[{index}]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            here = f"{path}.{name}" if path else str(name)
            if name in schema["properties"]:
                yield from unknown_fields(schema["properties"][name], inner, here)
            else:
                yield here


def is_leaf(info: FieldInfo) -> bool:
    """Whether the field holds a value and no further fields."""
    return model_in(info.annotation) is None


def only_model(info: FieldInfo) -> type[Model]:
    model = model_in(info.annotation)
    if model is None:
        raise TypeError(f"{info.alias} is no struct")
    return model


def model_in(annotation: Any) -> type[Model] | None:
    """The model in `M`, `M | None` or `tuple[M, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((found for arg in get_args(annotation) if (found := model_in(arg))), None)
    return None


def prose(docstring: str | None) -> str:
    """One paragraph a line, for `kubectl explain` wraps lines itself."""
    paragraphs = (docstring or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
