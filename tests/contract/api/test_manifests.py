"""What is shipped as YAML is taken by a real API server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.cluster import binary
from e2e.cluster.progress import Progress

from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.kube.resources import NAMESPACE

Kubectl = Callable[..., Awaitable[Any]]
Definitions = list[dict[str, Any]]

MANIFESTS = Path(__file__).parents[3] / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))

OVERLAY = """
resources: [{kustomize}/single-namespace]
components: [{kustomize}/owner-references]
transformers: [{kustomize}/single-namespace/names]
namespace: {namespace}
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


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def _of_kind(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(obj for obj in objects if obj["kind"] == kind and obj["metadata"]["name"].startswith(name))


def _rendered(folder: Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder; it needs no server."""
    kube = binary.built(Progress()) / "kube"
    done = subprocess.run([kube, "kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _overlay(folder: Path, namespace: str = "team-a") -> Path:
    """A user's own folder: kustomize takes relative paths only."""
    folder.mkdir(exist_ok=True)
    kustomize = os.path.relpath(MANIFESTS / "kustomize", folder)
    (folder / "kustomization.yaml").write_text(OVERLAY.format(kustomize=kustomize, namespace=namespace))
    return folder


async def test_the_installation_is_taken_as_it_is(kubectl: Kubectl) -> None:
    applied = await kubectl("apply", "--server-side", "-k", str(MANIFESTS / "kustomize" / "base"))
    again = await kubectl("diff", "--server-side", "-k", str(MANIFESTS / "kustomize" / "base"))

    assert applied.code == 0, applied.err
    assert "warning" not in applied.err.lower()
    assert (again.code, again.out) == (0, "")


def test_every_object_of_the_installation_carries_the_label_that_uninstall_looks_for() -> None:
    objects = _rendered(MANIFESTS / "kustomize" / "base")

    assert len(objects) >= 14
    assert [
        _name(obj)
        for obj in objects
        if obj["metadata"]["labels"].get("app.kubernetes.io/part-of") != "sluicegate"
    ] == []


def test_an_installation_for_one_namespace_grants_nothing_beyond_it_but_nodes(tmp_path: Path) -> None:
    objects = _rendered(_overlay(tmp_path))

    bound = [_name(obj) for obj in objects if obj["kind"] == "ClusterRoleBinding"]
    subjects = [subject for obj in objects for subject in obj.get("subjects", ())]
    container = _of_kind(objects, "Deployment", "sluicegate")["spec"]["template"]["spec"]["containers"][0]
    settings = _of_kind(objects, "ConfigMap", "sluicegate-settings")["data"]
    assert bound == ["sluicegate-nodes-team-a"]
    assert {subject["namespace"] for subject in subjects} == {"team-a"}
    assert not [obj for obj in objects if obj["kind"] == "Namespace"]
    assert _of_kind(objects, "Role", "sluicegate-operator")["metadata"]["namespace"] == "team-a"
    assert "SLUICEGATE_NAMESPACES" in [variable["name"] for variable in container["env"]]
    assert container["image"] == "registry.example.org/sluicegate:1"
    assert settings["SLUICEGATE_STORE_IMAGE"] == container["image"]


def test_installations_beside_each_other_share_no_object_that_differs(tmp_path: Path) -> None:
    """Whoever is applied last would take such an object from the other."""
    installations = (
        _rendered(MANIFESTS / "kustomize" / "base"),
        _rendered(_overlay(tmp_path / "a", "team-a")),
        _rendered(_overlay(tmp_path / "b", "team-b")),
    )

    written: dict[tuple[str, str, str], dict[str, Any]] = {}
    differing = [
        key
        for objects in installations
        for obj in objects
        if (key := (obj["kind"], obj["metadata"].get("namespace", ""), _name(obj)))
        and written.setdefault(key, obj) != obj
    ]
    assert differing == []
    assert len(written) < sum(map(len, installations)), "what is alike is shared"


async def test_an_overlay_that_forgets_the_names_is_refused(tmp_path: Path, kubectl: Kubectl) -> None:
    kustomization = _overlay(tmp_path) / "kustomization.yaml"
    kept = [line for line in kustomization.read_text().splitlines() if "transformers:" not in line]
    kustomization.write_text("\n".join(kept))

    refused = await kubectl("apply", "--server-side", "--dry-run=server", "-k", str(tmp_path))

    assert refused.code != 0
    assert "sluicegate-nodes-%NAMESPACE%" in refused.err


def test_clusters_that_check_owner_references_get_the_right_for_it(tmp_path: Path) -> None:
    role = _of_kind(_rendered(_overlay(tmp_path)), "Role", "sluicegate-operator")

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
