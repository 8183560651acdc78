"""What is refused, pruned and filled in."""

from __future__ import annotations

import copy
from typing import Any

from tests.contract import objects
from tests.contract.cases.table import case
from tests.contract.objects import config_map, deployment, having
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r

BROKEN: dict[str, dict[str, Any]] = {
    "too long": {"modelVersion": "x" * 21},
    "pattern": {"modelVersion": "9"},
    "enum": {"paused": "Sometimes"},
    "below": {"replicas": -1},
    "above": {"replicas": 9},
    "type": {"replicas": "two"},
    "float": {"replicas": 1.5},
    "nested": {"engine": {"dtype": "INT2"}},
    "items": {"engine": {"extraArgs": ["a"] * 4}},
    "item": {"engine": {"extraArgs": ["ok", "x" * 11]}},
    "map": {"labels": {"a": "1", "b": "1", "c": "1"}},
    "map value": {"labels": {"a": "123456"}},
    "key missing": {"tolerations": [{"value": "x"}]},
    "set twice": {"zones": ["a", "a"]},
    "int or string": {"cpu": [1]},
    "two at once": {"replicas": 9, "paused": "x"},
}


@case
async def what_breaks_the_schema_is_refused_with_its_fields(t: Transcript) -> None:
    for name, spec in BROKEN.items():
        await t.create(name, deployment(**spec))
    await t.create("a required field missing", {**deployment(), "spec": {"replicas": 1}})
    await t.create("no spec", {key: value for key, value in deployment().items() if key != "spec"})
    await t.create("valid", deployment(cpu="1"))
    for name in ("above", "enum", "two at once"):
        await t.patch(f"patch: {name}", r.LLM_DEPLOYMENT, "chat", {"spec": BROKEN[name]})
        await t.apply(f"apply: {name}", deployment(**BROKEN[name]), force=True)
    await t.apply("apply: type", deployment(**BROKEN["type"]), force=True)


@case
async def unknown_fields_are_pruned_and_defaults_filled(t: Transcript) -> None:
    odd = deployment(unknown=1, engine={"alien": {"a": 1}, "contextLength": 5}, anything={"x": [1]})
    await t.create("create", {**odd, "more": 1})
    await t.apply("an undeclared field by apply", odd, force=True)
    await t.apply("what is free by schema", deployment(anything={"x": [2], "y": {"z": 1}}), force=True)
    patch = {"spec": {"paused": None, "engine": None, "junk": {}}}
    await t.patch("removed defaults come back", r.LLM_DEPLOYMENT, "chat", patch)


@case
async def built_in_kinds_refuse_what_code_forbids(t: Transcript) -> None:
    await t.create("create", objects.replica_set())
    other = copy.deepcopy(objects.replica_set())
    other["spec"]["selector"]["matchLabels"] = {"app": "other"}
    other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    await t.apply("selector", other, force=True)
    mismatched = objects.replica_set("mismatched")
    mismatched["spec"]["selector"]["matchLabels"] = {"app": "other"}
    await t.create("selector misses template", mismatched)
    await t.create("service name", objects.service("7b.chat"))
    await t.create("object name", config_map("No"))
    await t.create("label", having(config_map(), labels={"a": "b c"}))
    frozen = {**config_map("frozen"), "immutable": True}
    await t.create("frozen", frozen)
    await t.apply("thaw", {**frozen, "data": {"key": "2"}}, force=True)
    await t.create("revision", objects.controller_revision())
    await t.apply("changed", {**objects.controller_revision(), "data": {"other": 1}}, force=True)
    await t.create("no such namespace", having(config_map(), namespace="nowhere"))
    await t.apply("apply into no namespace", having(config_map(), namespace="nowhere"))
    both = objects.disruption_budget()
    both["spec"]["minAvailable"] = 1
    await t.create("budget", both)
    empty = objects.service("empty")
    empty["spec"]["ports"] = []
    await t.create("service without ports", empty)


@case
async def a_generated_name_is_unique(t: Transcript) -> None:
    obj = {**config_map(), "metadata": {"generateName": "x-", "namespace": t.namespace}}
    created = [await t.client.create(obj, "somebody") for _ in range(2)]
    first, second = (each["metadata"]["name"] for each in created)
    assert first != second
    assert all(name.startswith("x-") for name in (first, second))


@case
async def malformed_requests(t: Transcript) -> None:
    entry = {
        "manager": "x",
        "operation": "Apply",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }
    await t.apply("managedFields in an apply", having(config_map(), managedFields=[entry]))
    await t.create("a version in a create", having(config_map(), resourceVersion="1"))
    await t.get("what is not there", r.CONFIG_MAP, "a")
    await t.delete("nothing to delete", r.CONFIG_MAP, "a")
    await t.get("a kind that is not there", r.MODEL_VERSION, "a")
