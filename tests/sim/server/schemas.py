"""The structural schemas that the fake API server works by: the built-in kinds' and the CRDs'.

`schemas.json` is the real API server's own OpenAPI, cut down to the kinds simulated and stripped of
prose. A contract test holds it to the server's; `python -m tests.contract.record` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sluicegate.kube import resources
from sluicegate.kube.resources import Resource

Schema = Mapping[str, Any]

FILE = Path(__file__).with_name("schemas.json")
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
STRING: Schema = {"type": "string"}

BUILT_IN = tuple(
    each
    for each in resources.RESOURCES.values()
    if each.group not in ("sluicegate.dev", "apiextensions.k8s.io", "rbac.authorization.k8s.io")
)


@cache
def definitions() -> Mapping[str, Schema]:
    """By name. Where one refers to another, the other itself stands there."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["definitions"]
    for each in found.values():
        _link(each, found)
    return found


def _link(schema: dict[str, Any], known: Mapping[str, Schema]) -> None:
    for key, part in schema.items():
        if isinstance(part, dict):
            target = part.get("$ref")
            if isinstance(target, str):
                schema[key] = known[target]
            else:
                _link(part, known)


@cache
def _roots() -> Mapping[str, str]:
    return json.loads(FILE.read_text())["roots"]  # type: ignore[no-any-return]


def built_in(resource: Resource) -> Schema:
    return definitions()[_roots()[f"{resource.api_version}/{resource.kind}"]]


def of_crd(open_api: Schema) -> Schema:
    """The schema of a custom resource with the parts that every object has."""
    common = {"apiVersion": STRING, "kind": STRING, "metadata": definitions()[OBJECT_META]}
    return {**open_api, "properties": {**open_api.get("properties", {}), **common}}


def cut_down(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `schemas.json`, from the OpenAPI v3 documents of the groups."""
    found: dict[str, Schema] = {}
    for document in documents:
        found.update(document["components"]["schemas"])
    roots = {}
    for name, schema in found.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            version = f"{gvk['group']}/{gvk['version']}".lstrip("/")
            if (version, gvk["kind"]) in {(each.api_version, each.kind) for each in BUILT_IN}:
                roots[f"{version}/{gvk['kind']}"] = name
    kept: dict[str, Schema] = {}
    todo = sorted(roots.values())
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = _bare(found[name])
            todo += sorted(_references(kept[name]))
    return {"roots": dict(sorted(roots.items())), "definitions": dict(sorted(kept.items()))}


def _bare(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if len(node.get("allOf", ())) == 1:
        node = {**node["allOf"][0], **{key: value for key, value in node.items() if key != "allOf"}}
    bare = {}
    for key, value in node.items():
        if key == "$ref":
            bare[key] = value.rpartition("/")[2]
        elif key == "properties":
            bare[key] = {name: _bare(child) for name, child in value.items()}
        elif key not in ("description", "x-kubernetes-group-version-kind"):
            bare[key] = _bare(value)
    return bare


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    return set()


def group_paths() -> list[str]:
    """The OpenAPI documents to read, as paths below /openapi/v3/."""
    versions = {each.api_version for each in BUILT_IN}
    return sorted(("apis/" if "/" in version else "api/") + version for version in versions)


def write(documents: Iterable[Mapping[str, Any]]) -> None:
    cut = cut_down(documents)
    rows = ",\n".join(f"{json.dumps(name)}:{_compact(schema)}" for name, schema in cut["definitions"].items())
    FILE.write_text(f'{{"roots":{_compact(cut["roots"])},\n"definitions":{{\n{rows}\n}}}}\n')


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
