"""Every sample is legal, lives in the namespace of the samples, and shows only settings that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.api.crdgen import RESOURCES, schemas
from sluicegate.api.schema import unknown_fields

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
    assert list(unknown_fields(schemas()[obj["kind"]], obj)) == []


def test_there_is_a_namespace_that_enforces_the_restricted_level() -> None:
    namespace = yaml.safe_load((SAMPLES[0].parent / "namespace.yaml").read_text())

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
