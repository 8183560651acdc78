"""`render` shows what the operator would make, and refuses what it would refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.cases import a_deployment, a_model_version
from tests.golden.write import DEFAULTS, SAMPLES, golden_file, rendered

from sluicegate.cli.command import CommandError, Exit
from sluicegate.cli.main import main
from sluicegate.cli.render import UNKNOWN_DIGEST, render

DIGEST = "sha256:" + "ab" * 32


def _rendered(*objects: dict[str, Any]) -> list[dict[str, Any]]:
    return list(render(objects, DEFAULTS))


def _named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (obj for obj in objects if (obj["kind"], obj["metadata"]["name"]) == (kind, name))
    return found


@pytest.mark.parametrize("sample", [pytest.param(sample, id=sample.stem) for sample in SAMPLES])
def test_a_sample_gives_the_children_that_are_recorded(sample: Path) -> None:
    """A difference means other pods for new colours: see tests/golden/write.py."""
    recorded = golden_file(sample).read_text() if golden_file(sample).exists() else ""

    assert rendered(sample) == recorded


def test_every_child_is_there() -> None:
    kinds = [obj["kind"] for obj in _rendered(a_model_version(), a_deployment())]

    assert kinds == [
        "Job",
        "Secret",
        "NetworkPolicy",
        "ControllerRevision",
        "ConfigMap",
        "ReplicaSet",
        "Service",
        "Service",
        "PodDisruptionBudget",
    ]


def test_the_service_is_shown_as_it_is_once_pods_answer() -> None:
    objects = _rendered(a_model_version(), a_deployment())
    (pods,) = (obj for obj in objects if obj["kind"] == "ReplicaSet")

    assert _named(objects, "Service", "chat")["spec"]["selector"] == pods["spec"]["selector"]["matchLabels"]


@pytest.mark.parametrize(
    ("version", "digest"),
    [(a_model_version(), UNKNOWN_DIGEST), (a_model_version(digest=DIGEST), DIGEST)],
)
def test_a_digest_is_the_specs_or_a_placeholder(version: dict[str, Any], digest: str) -> None:
    objects = _rendered(version, a_deployment())
    (pointer,) = (obj for obj in objects if obj["kind"] == "ConfigMap")

    assert yaml.safe_load(pointer["data"]["pointer.json"])["digest"] == digest


def test_objects_of_other_kinds_are_passed_over() -> None:
    assert _rendered({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}}) == []


def test_a_version_that_is_not_among_the_files_is_named() -> None:
    with pytest.raises(CommandError, match="ModelVersion smollm2-1 does not exist"):
        _rendered(a_deployment())


def test_a_version_of_another_namespace_is_another_version() -> None:
    elsewhere = a_model_version()
    elsewhere["metadata"]["namespace"] = "elsewhere"

    with pytest.raises(CommandError, match="does not exist"):
        _rendered(elsewhere, a_deployment())


def test_an_invalid_object_is_refused_with_the_field_and_the_reason() -> None:
    with pytest.raises(CommandError, match=r"LLMDeployment chat: spec\.replicas: .*integer"):
        _rendered(a_model_version(), a_deployment(replicas="3"))


def test_a_file_that_is_not_there_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", str(tmp_path / "nothing.yaml")]) == Exit.USAGE_OR_PERMISSION
    assert "nothing.yaml" in capsys.readouterr().err


def test_files_are_rendered_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "version.yaml").write_text(yaml.safe_dump(a_model_version()))
    (tmp_path / "deployment.yaml").write_text(yaml.safe_dump(a_deployment()))

    code = main(["render", str(tmp_path / "version.yaml"), str(tmp_path / "deployment.yaml")])

    assert code == Exit.OK
    kinds = [doc["kind"] for doc in yaml.safe_load_all(capsys.readouterr().out)]
    assert {"Job", "ReplicaSet"} <= set(kinds)
