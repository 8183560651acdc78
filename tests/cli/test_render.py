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


def test_an_unknown_field_is_named_with_its_path() -> None:
    deployment = a_deployment(replicaz=3, pod={"tolerations": [{"operator": "Exists", "efect": "x"}]})

    with pytest.raises(CommandError) as refused:
        _rendered(a_model_version(), {**deployment, "specc": {}})

    assert str(refused.value) == (
        "LLMDeployment chat: unknown field spec.replicaz, spec.pod.tolerations[0].efect, specc"
    )


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "LLMDeploymnt"}, {"apiVersion": "sluicegate.dev/v1"}],
    ids=["a mistyped kind", "another version"],
)
def test_a_kind_that_is_not_there_is_refused_with_those_that_are(wrong: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=r"sluicegate.dev/v1alpha1 has ModelVersion, LLMDeployment"):
        _rendered({**a_deployment(), **wrong})


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "LLMDeployment: metadata.name"),
        ("chat", "LLMDeployment: metadata.name"),
        ({}, "LLMDeployment: metadata.name"),
        ({"name": "chat", "annotations": {"a": b"x"}}, "LLMDeployment chat: holds what JSON cannot"),
    ],
    ids=["null", "a string", "nothing", "bytes"],
)
def test_metadata_that_cannot_be_is_refused(metadata: Any, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        _rendered({**a_deployment(), "metadata": metadata})


def _file(folder: Path, text: str) -> str:
    path = folder / "objects.yaml"
    path.write_text(text)
    return str(path)


def test_a_list_is_taken_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inner = {"apiVersion": "sluicegate.dev/v1alpha1", "kind": "LLMDeploymentList", "items": [a_deployment()]}
    listed = {"apiVersion": "v1", "kind": "List", "items": [a_model_version(), inner]}

    code = main(["render", _file(tmp_path, yaml.safe_dump(listed))])

    assert code == Exit.OK
    assert "kind: ReplicaSet" in capsys.readouterr().out


def test_a_date_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = yaml.safe_dump(a_model_version()).replace(
        "metadata:", "metadata:\n  annotations: {released: 2026-01-01, seen: 2026-01-01T00:00:00Z}"
    )

    assert main(["render", _file(tmp_path, version)]) == Exit.OK


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n", "nothing of sluicegate.dev in "),
        ("", "nothing of sluicegate.dev in "),
        ("apiVersion: sluicegate.dv/v1alpha1\nkind: LLMDeployment\n", "nothing of sluicegate.dev in "),
        ("- a\n- b\n", "a document in it is no object"),
        ("apiVersion: sluicegate.dev/v1alpha1\n", "a document in it is no object"),
        ("a: [", "cannot read"),
    ],
    ids=["other kinds", "an empty file", "a mistyped group", "a bare list", "no kind", "no YAML"],
)
def test_a_file_with_nothing_to_render_is_said_so(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path, text)

    assert main(["render", path]) != Exit.OK
    error = capsys.readouterr().err
    assert told in error
    assert path in error


def test_a_file_that_is_no_text_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image").write_bytes(b"\xff\xfe\x00")

    assert main(["render", str(tmp_path / "image")]) == Exit.USAGE_OR_PERMISSION
    assert "cannot read" in capsys.readouterr().err


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
