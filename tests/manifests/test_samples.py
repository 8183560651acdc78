"""Every sample is legal, lives in the namespace of the samples, and shows only settings that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.api.crdgen import RESOURCES, crds

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
OBJECTS = [
    pytest.param(obj, id=f"{path.stem}-{obj['kind']}-{obj['metadata']['name']}")
    for path in SAMPLES
    for obj in yaml.safe_load_all(path.read_text())
    if obj["kind"] != "Namespace"
]
MODELS = {resource.kind: resource.model for resource in RESOURCES}


@pytest.mark.parametrize("obj", OBJECTS)
def test_a_sample_is_legal(obj: dict[str, Any]) -> None:
    parsed = MODELS[obj["kind"]].model_validate_json(json.dumps(obj), strict=True)

    assert obj["metadata"]["namespace"] == "models"
    assert parsed.model_dump(by_alias=True)["apiVersion"] == obj["apiVersion"]


@pytest.mark.parametrize("obj", OBJECTS)
def test_a_sample_has_no_unknown_field(obj: dict[str, Any]) -> None:
    (crd,) = (crd for crd in crds() if crd["spec"]["names"]["kind"] == obj["kind"])
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert list(_unknown(obj["spec"], spec, "spec")) == []


def _unknown(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _unknown(item, schema["items"], f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    strangers = [f"{path}.{key}" for key in value if key not in known]
    inner = [
        found for key in value if key in known for found in _unknown(value[key], known[key], f"{path}.{key}")
    ]
    return strangers + inner


def test_there_is_a_namespace_that_enforces_the_restricted_level() -> None:
    namespace = yaml.safe_load((SAMPLES[0].parent / "namespace.yaml").read_text())

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
