"""The generated definitions are what the API server and `kubectl explain` need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from sluicegate.api import schema
from sluicegate.api.crdgen import RESOURCES, Resource, crds
from sluicegate.api.meta import Change, ListMap, ListType, Model, Rule
from sluicegate.cli.crds import HEADER, documents

COMMITTED = Path(__file__).parents[2] / "crds"
KINDS = [pytest.param(resource, id=resource.kind) for resource in RESOURCES]


def _schema(resource: Resource) -> dict[str, Any]:
    (found,) = (crd for crd in crds() if crd["spec"]["names"]["kind"] == resource.kind)
    (version,) = found["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def _spec_model(resource: Resource) -> type[Model]:
    return schema.only_model(resource.model.model_fields["spec"])


def _nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _nodes(node[key], f"{path}[]")


def _nodes_of(resource: Resource) -> list[tuple[str, dict[str, Any]]]:
    properties = _schema(resource)["properties"]
    return [*_nodes(properties["spec"], "spec"), *_nodes(properties["status"], "status")]


def test_the_committed_definitions_are_those_of_the_models() -> None:
    committed = {path.name: path.read_text() for path in COMMITTED.glob("*.sluicegate.dev.yaml")}

    assert committed == {name: HEADER + text for name, text in documents().items()}, "run `make crds`"


@pytest.mark.parametrize("resource", KINDS)
def test_every_field_of_a_spec_says_what_a_change_of_it_does(resource: Resource) -> None:
    leaves = {
        path: schema.change_of(info)
        for path, info in schema.fields_below(_spec_model(resource))
        if schema.is_leaf(info)
    }

    assert leaves
    assert {path for path, change in leaves.items() if change is None} == set()


@pytest.mark.parametrize("resource", KINDS)
def test_the_fields_that_never_change_are_those_that_a_rule_at_the_root_compares(resource: Resource) -> None:
    """One below the root would be led around by leaving the field out and adding it again."""
    rules = " ".join(rule["rule"] for rule in _schema(resource)["x-kubernetes-validations"])
    compared = set(re.findall(r"== oldSelf\.spec\.(\w+)", rules))
    changes: dict[str, set[bool]] = {}
    for path, info in schema.fields_below(_spec_model(resource)):
        if schema.is_leaf(info):
            field = path.split(".")[0]
            changes.setdefault(field, set()).add(schema.change_of(info) is Change.NEVER)

    assert changes == {field: {field in compared} for field in changes}


@pytest.mark.parametrize("resource", KINDS)
def test_every_field_is_described_in_at_most_three_lines(resource: Resource) -> None:
    fields = [
        (path, info)
        for name in ("spec", "status")
        for path, info in schema.fields_below(schema.only_model(resource.model.model_fields[name]), name)
    ]

    assert {path for path, info in fields if not info.description} == set()
    assert {path for path, info in fields if len((info.description or "").splitlines()) > 3} == set()


@pytest.mark.parametrize("resource", KINDS)
def test_every_value_is_bounded(resource: Resource) -> None:
    bounds = {"string": {"maxLength"}, "array": {"maxItems"}, None: {"pattern", "minimum", "maximum"}}
    unbounded = {
        path
        for path, node in _nodes_of(resource)
        if ("enum" not in node and not bounds.get(node.get("type"), set()) <= set(node))
        or ("additionalProperties" in node and "maxProperties" not in node)
    }

    assert unbounded == set()


@pytest.mark.parametrize("resource", KINDS)
def test_every_number_of_a_spec_has_both_bounds_and_a_format(resource: Resource) -> None:
    numbers = [(path, node) for path, node in _nodes_of(resource) if node.get("type") == "integer"]

    assert {path for path, node in numbers if node["format"] not in ("int32", "int64")} == set()
    assert {
        path for path, node in numbers if path.startswith("spec") and not {"minimum", "maximum"} <= set(node)
    } == set()


@pytest.mark.parametrize("resource", KINDS)
def test_the_schema_holds_only_what_structural_schemas_know(resource: Resource) -> None:
    known = {
        *(
            "type",
            "description",
            "properties",
            "required",
            "items",
            "additionalProperties",
            "default",
            "enum",
        ),
        *("format", "pattern", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
        *("minimum", "maximum", "x-kubernetes-validations", "x-kubernetes-list-type"),
        *("x-kubernetes-list-map-keys", "x-kubernetes-int-or-string"),
    }

    assert {key for _, node in _nodes_of(resource) for key in node} - known == set()


@pytest.mark.parametrize("resource", KINDS)
def test_every_list_says_how_it_is_merged(resource: Resource) -> None:
    lists = [(path, node) for path, node in _nodes_of(resource) if node.get("type") == "array"]

    assert {path for path, node in lists if "x-kubernetes-list-type" not in node} == set()


@pytest.mark.parametrize("resource", KINDS)
def test_a_new_object_does_not_look_finished(resource: Resource) -> None:
    status = _schema(resource)["properties"]["status"]

    assert status["default"] == {"observedGeneration": -1}
    assert {
        path for path, node in _nodes(status, "status") if path != "status" and "default" in node
    } == set()


@pytest.mark.parametrize("resource", KINDS)
def test_a_spec_cannot_be_removed_and_put_back(resource: Resource) -> None:
    assert _schema(resource)["required"] == ["spec"]


def test_the_columns_of_a_deployment_tell_what_serves_and_why() -> None:
    (crd,) = (crd for crd in crds() if crd["spec"]["names"]["kind"] == "LLMDeployment")
    (version,) = crd["spec"]["versions"]
    columns = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]

    assert columns == ["Ready", "Phase", "Serving", "Target", "Replicas", "Step", "Reason", "Age"]
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"


class _Inner(Model):
    size: Annotated[int | None, Field(ge=1, le=8), Change.OPERATOR] = None
    """How large."""
    mode: Annotated[str, Field(max_length=4), Change.TEMPLATE] = "fast"
    """How."""

    RULES = (Rule("self.mode != 'slow'", "not slow", lambda i: i.mode != "slow"),)


class _Outer(Model):
    """Whole.

    More of
    it.
    """

    inner: _Inner = _Inner()
    """What is in it."""
    many: Annotated[tuple[_Inner, ...], Field(max_length=2), ListMap(("mode",))] = ()
    """Several."""
    words: Annotated[tuple[str, ...], Field(max_length=2), ListType.SET, Change.RUNTIME] = ()
    """Words."""
    table: Annotated[dict[Annotated[str, Field(max_length=5)], str], Field(max_length=3)] = {}  # noqa: RUF012
    """A map."""


def test_a_struct_is_inlined_with_its_rules_and_its_whole_default() -> None:
    inner = schema.struct(_Outer)["properties"]["inner"]

    assert inner["description"] == "What is in it."
    assert inner["default"] == {"mode": "fast"}
    assert inner["x-kubernetes-validations"] == [{"rule": "self.mode != 'slow'", "message": "not slow"}]
    assert inner["properties"]["size"] == {
        "description": "How large. A change is carried out by the operator alone.",
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": 8,
    }


def test_a_list_carries_its_merge_type_and_no_empty_default() -> None:
    properties = schema.struct(_Outer)["properties"]

    assert properties["many"]["x-kubernetes-list-type"] == "map"
    assert properties["many"]["x-kubernetes-list-map-keys"] == ["mode"]
    assert properties["words"]["x-kubernetes-list-type"] == "set"
    assert properties["words"]["description"] == "Words. A change is told to the running pods."
    assert not any("default" in properties[name] for name in ("many", "words", "table"))


def test_the_bound_on_a_maps_keys_becomes_a_rule() -> None:
    table = schema.struct(_Outer)["properties"]["table"]

    assert "propertyNames" not in table
    assert table["x-kubernetes-validations"][0]["rule"] == "self.all(key, key.size() <= 5)"


def test_the_pattern_of_a_maps_keys_becomes_a_rule() -> None:
    class Patterned(Model):
        table: Annotated[
            dict[
                Annotated[str, Field(max_length=5, pattern="^[a-z]+$", description="lower case letters")],
                Annotated[str, Field(max_length=9)],
            ],
            Field(max_length=3),
        ] = {}  # noqa: RUF012
        """A map."""

    table = schema.struct(Patterned)["properties"]["table"]

    assert table["additionalProperties"] == {"type": "string", "maxLength": 9}
    assert table["x-kubernetes-validations"] == [
        {"rule": "self.all(key, key.size() <= 5)", "message": "keys have at most 5 characters"},
        {"rule": "self.all(key, key.matches('^[a-z]+$'))", "message": "keys must read lower case letters"},
    ]


def test_paragraphs_stay_and_lines_join() -> None:
    assert schema.struct(_Outer)["description"] == "Whole.\n\nMore of it."


def test_a_list_without_a_merge_type_is_refused() -> None:
    class Untagged(Model):
        words: Annotated[tuple[str, ...], Field(max_length=2)] = ()
        """Words."""

    with pytest.raises(TypeError, match="ListType"):
        schema.struct(Untagged)


def test_the_yaml_says_what_the_definitions_say() -> None:
    assert [yaml.safe_load(text) for text in documents().values()] == list(crds())
