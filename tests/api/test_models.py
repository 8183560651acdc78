"""The models judge objects as the API server does (tests/contract/api asks the server the same)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.api.cases import CASES, Case, a_deployment, a_model_version

from sluicegate.api.meta import Model
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment, Resources
from sluicegate.api.v1alpha1.modelversion import ModelVersion

KINDS: dict[str, type[Model]] = {"LLMDeployment": LLMDeployment, "ModelVersion": ModelVersion}


def _parsed(obj: dict[str, Any]) -> Model:
    return KINDS[obj["kind"]].model_validate_json(json.dumps(obj), strict=True)


def _names(alias_path: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in alias_path)


@pytest.mark.parametrize("case", [pytest.param(case, id=title) for title, case in CASES.items()])
def test_an_object_is_judged(case: Case) -> None:
    if case.refused is None:
        assert _parsed(case.obj).model_dump(by_alias=True)["metadata"]["name"] == case.obj["metadata"]["name"]
        return

    with pytest.raises(ValidationError) as refused:
        _parsed(case.obj)

    told = [f"{_names(error['loc'])}: {error['msg']}" for error in refused.value.errors()]
    assert any(case.refused in line for line in told), told


def test_fields_of_newer_definitions_are_ignored() -> None:
    assert _parsed(a_deployment(futureField={"x": 1})) == _parsed(a_deployment())


@pytest.mark.parametrize(
    ("cpu", "text"),
    [
        (4, "4"),
        ("4", "4"),
        ("4000m", "4"),
        ("4.0", "4"),
        ("1.5", "1500m"),
        ("0.05", "50m"),
        ("1.001", "1001m"),
        ("250m", "250m"),
    ],
)
def test_equal_numbers_of_processors_are_one_text(cpu: int | str, text: str) -> None:
    assert _resources(cpu=cpu).cpu == text


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (1024, "1024"),
        ("1024", "1024"),
        ("16Gi", "16Gi"),
        ("1.5Gi", "1610612736"),
        ("0.5k", "500"),
        ("1.001Ki", "1026"),
    ],
)
def test_equal_sizes_of_memory_are_one_text(memory: int | str, text: str) -> None:
    """Fractions of a byte are rounded up, as the API server does."""
    assert _resources(memory=memory).memory == text


def _resources(**resources: int | str) -> Resources:
    deployment = _parsed(a_deployment(resources=resources))
    assert isinstance(deployment, LLMDeployment)
    return deployment.spec.resources


def test_what_is_left_out_has_its_default() -> None:
    deployment = _parsed(a_deployment())

    assert isinstance(deployment, LLMDeployment)
    assert deployment.spec.replicas == 1
    assert deployment.spec.engine.max_concurrent_sequences == 64
    assert deployment.status.observed_generation == -1


def test_a_parsed_object_cannot_be_changed() -> None:
    version = _parsed(a_model_version())

    with pytest.raises(ValidationError, match="frozen"):
        version.spec = None  # type: ignore[attr-defined]
