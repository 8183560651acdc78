"""What is shipped as YAML is taken by a real API server."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.kube.resources import NAMESPACE

Kubectl = Callable[..., Awaitable[Any]]
Definitions = list[dict[str, Any]]

MANIFESTS = Path(__file__).parents[3] / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))

OVERLAY = """
resources: [{base}]
components: [{component}]
namespace: team-a
images:
  - name: sluicegate
    newName: registry.example.org/sluicegate
    newTag: "1"
configMapGenerator:
  - name: sluicegate-settings
    behavior: merge
    literals:
      - SLUICEGATE_STORE_IMAGE=registry.example.org/sluicegate:1
"""


def _of_kind(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(obj for obj in objects if obj["kind"] == kind and obj["metadata"]["name"].startswith(name))


async def _rendered(kubectl: Kubectl, folder: Path) -> list[dict[str, Any]]:
    done = await kubectl("kustomize", str(folder))
    assert done.code == 0, done.err
    return list(yaml.safe_load_all(done.out))


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A user's own folder: kustomize takes relative paths only."""
    base = os.path.relpath(MANIFESTS / "kustomize" / "single-namespace", tmp_path)
    component = os.path.relpath(MANIFESTS / "kustomize" / "owner-references", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(OVERLAY.format(base=base, component=component))
    return tmp_path


async def test_the_installation_is_taken_as_it_is(kubectl: Kubectl) -> None:
    applied = await kubectl("apply", "--server-side", "-k", str(MANIFESTS / "kustomize" / "base"))
    again = await kubectl("diff", "--server-side", "-k", str(MANIFESTS / "kustomize" / "base"))

    assert applied.code == 0, applied.err
    assert "warning" not in applied.err.lower()
    assert (again.code, again.out) == (0, "")


async def test_every_object_of_the_installation_carries_the_label_that_uninstall_looks_for(
    kubectl: Kubectl,
) -> None:
    objects = await _rendered(kubectl, MANIFESTS / "kustomize" / "base")

    assert len(objects) >= 14
    assert [
        obj["metadata"]["name"]
        for obj in objects
        if obj["metadata"]["labels"].get("app.kubernetes.io/part-of") != "sluicegate"
    ] == []


async def test_an_installation_for_one_namespace_grants_nothing_beyond_it_but_nodes(
    kubectl: Kubectl, overlay: Path
) -> None:
    objects = await _rendered(kubectl, overlay)

    bound = [obj["roleRef"]["name"] for obj in objects if obj["kind"] == "ClusterRoleBinding"]
    subjects = [subject for obj in objects for subject in obj.get("subjects", ())]
    container = _of_kind(objects, "Deployment", "sluicegate")["spec"]["template"]["spec"]["containers"][0]
    settings = _of_kind(objects, "ConfigMap", "sluicegate-settings")["data"]
    assert bound == ["sluicegate-nodes"]
    assert {subject["namespace"] for subject in subjects} == {"team-a"}
    assert not [obj for obj in objects if obj["kind"] == "Namespace"]
    assert _of_kind(objects, "Role", "sluicegate-operator")["metadata"]["namespace"] == "team-a"
    assert "SLUICEGATE_NAMESPACES" in [variable["name"] for variable in container["env"]]
    assert container["image"] == "registry.example.org/sluicegate:1"
    assert settings["SLUICEGATE_STORE_IMAGE"] == container["image"]


async def test_clusters_that_check_owner_references_get_the_right_for_it(
    kubectl: Kubectl, overlay: Path
) -> None:
    role = _of_kind(await _rendered(kubectl, overlay), "Role", "sluicegate-operator")

    assert role["rules"][-1] == {
        "apiGroups": ["sluicegate.dev"],
        "resources": ["llmdeployments/finalizers", "modelversions/finalizers"],
        "verbs": ["update"],
    }


@pytest.mark.parametrize("sample", [pytest.param(sample, id=sample.stem) for sample in SAMPLES])
async def test_a_sample_is_applied_without_a_warning(
    sample: Path, kubectl: Kubectl, client: Client, definitions: Definitions
) -> None:
    await _ensure_namespace(client, "models")

    applied = await kubectl("apply", "--server-side", "--validate=strict", "-f", str(sample))

    assert (applied.code, applied.err) == (0, "")


async def _ensure_namespace(client: Client, name: str) -> None:
    try:
        await client.get(NAMESPACE, "", name)
    except NotFound:
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "test")
