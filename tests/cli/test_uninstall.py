"""`uninstall` removes everything in order, and ends even where the operator is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sluicegate.cli.uninstall import Uninstall
from sluicegate.core.naming import FINALIZER
from sluicegate.kube.client import Listing
from sluicegate.kube.errors import Conflict, NotFound
from sluicegate.kube.resources import (
    CLUSTER_ROLE,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    JOB,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NAMESPACE,
    POD,
    SECRET,
    Resource,
)

pytestmark = pytest.mark.looptime
PART_OF = {"app.kubernetes.io/part-of": "sluicegate"}
CHILD = {"app.kubernetes.io/managed-by": "sluicegate", "sluicegate.dev/deployment": "chat"}
INSPECTION = {"app.kubernetes.io/managed-by": "sluicegate", "sluicegate.dev/model-version": "v1"}


class FakeCluster:
    """Objects by kind, with finalizers; an operator that is alive lets go of what it protects."""

    def __init__(self, *, operator_alive: bool = True) -> None:
        self.operator_alive = operator_alive
        self.objects: dict[Resource, list[dict[str, Any]]] = {}
        self.deleted: list[str] = []

    def has(
        self,
        kind: Resource,
        name: str,
        namespace: str = "demo",
        finalizers: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        obj = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-of-{name}",
                "resourceVersion": "1",
                "finalizers": list(finalizers),
                "labels": dict(labels or {}),
            }
        }
        self.objects.setdefault(kind, []).append(obj)
        return obj

    async def list(self, resource: Resource, namespace: str = "", *, label_selector: str = "") -> Listing:
        if resource in (LLM_DEPLOYMENT, MODEL_VERSION) and not self.objects.get(CUSTOM_RESOURCE_DEFINITION):
            raise NotFound(404, "NotFound", "the server could not find the requested resource")
        self._operator_works()
        terms = [term.partition("=") for term in label_selector.split(",") if term]
        found = [
            obj
            for obj in self.objects.get(resource, [])
            if (not namespace or obj["metadata"]["namespace"] == namespace)
            and all(
                obj["metadata"]["labels"].get(key) == value if equals else key in obj["metadata"]["labels"]
                for key, equals, value in terms
            )
        ]
        return Listing(found, "1")

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None
    ) -> dict[str, Any]:
        obj = self._one(resource, name)
        if uid != obj["metadata"]["uid"]:
            raise Conflict(409, "Conflict", "another uid")
        self.deleted.append(f"{resource.kind} {name}")
        if obj["metadata"]["finalizers"]:
            obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            self.objects[resource].remove(obj)
        return {}

    async def patch_merge(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], field_manager: str
    ) -> dict[str, Any]:
        obj = self._one(resource, name)
        obj["metadata"] |= patch["metadata"]
        self._collect(resource, obj)
        return obj

    def _one(self, resource: Resource, name: str) -> dict[str, Any]:
        for obj in self.objects.get(resource, []):
            if obj["metadata"]["name"] == name:
                return obj
        raise NotFound(404, "NotFound", name)

    def _operator_works(self) -> None:
        if not self.operator_alive or self.objects.get(LLM_DEPLOYMENT):
            return
        for obj in list(self.objects.get(MODEL_VERSION, [])):
            if "deletionTimestamp" in obj["metadata"]:
                obj["metadata"]["finalizers"] = [f for f in obj["metadata"]["finalizers"] if f != FINALIZER]
                self._collect(MODEL_VERSION, obj)

    def _collect(self, resource: Resource, obj: dict[str, Any]) -> None:
        if "deletionTimestamp" in obj["metadata"] and not obj["metadata"]["finalizers"]:
            self.objects[resource].remove(obj)


def an_installation(*, operator_alive: bool = True) -> FakeCluster:
    cluster = FakeCluster(operator_alive=operator_alive)
    cluster.has(CUSTOM_RESOURCE_DEFINITION, "llmdeployments.sluicegate.dev", "", labels=PART_OF)
    cluster.has(LLM_DEPLOYMENT, "chat")
    cluster.has(MODEL_VERSION, "smollm2-1", finalizers=(FINALIZER,))
    cluster.has(DEPLOYMENT, "sluicegate", "sluicegate-system", labels=PART_OF)
    cluster.has(SECRET, "sluicegate-operator-key", "sluicegate-system", labels=PART_OF)
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)
    cluster.has(NAMESPACE, "sluicegate-system", "", labels=PART_OF)
    return cluster


async def _uninstall(cluster: FakeCluster, within: float = 120.0) -> list[str]:
    said: list[str] = []
    work = Uninstall(cluster, "sluicegate-system", said.append)
    async with asyncio.timeout(within):
        await work.run()
    return said


async def test_everything_goes_in_the_order_in_which_nothing_is_left_behind() -> None:
    cluster = an_installation()

    await _uninstall(cluster)

    assert cluster.deleted == [
        "LLMDeployment chat",
        "ModelVersion smollm2-1",
        "Deployment sluicegate",
        "Secret sluicegate-operator-key",
        "ClusterRole sluicegate-manager",
        "CustomResourceDefinition llmdeployments.sluicegate.dev",
        "Namespace sluicegate-system",
    ]
    assert not any(cluster.objects.values())


async def test_what_belongs_to_others_stays() -> None:
    cluster = an_installation()
    cluster.has(DEPLOYMENT, "web", "sluicegate-system")
    cluster.has(CLUSTER_ROLE, "view", "")
    cluster.has(NAMESPACE, "demo", "")

    await _uninstall(cluster)

    assert [kind.kind for kind, left in cluster.objects.items() if left] == [
        "Deployment",
        "ClusterRole",
        "Namespace",
    ]


@pytest.mark.parametrize("kind", [POD, SECRET], ids=str)
async def test_model_versions_wait_until_the_children_are_gone(kind: Resource) -> None:
    cluster = an_installation()
    child = cluster.has(kind, "chat-x", labels=CHILD)

    async def ends_later() -> None:
        await asyncio.sleep(20)
        assert not any(text.startswith("ModelVersion") for text in cluster.deleted)
        cluster.objects[kind].remove(child)

    await asyncio.gather(_uninstall(cluster), ends_later())

    assert "ModelVersion smollm2-1" in cluster.deleted


async def test_an_inspection_under_way_goes_with_its_model_version() -> None:
    cluster = an_installation()
    job = cluster.has(JOB, "smollm2-1-inspect", labels=INSPECTION)

    async def goes_with_its_owner() -> None:
        await asyncio.sleep(20)
        assert "ModelVersion smollm2-1" in cluster.deleted, "it does not wait for the Job"
        cluster.objects[JOB].remove(job)

    await asyncio.gather(_uninstall(cluster), goes_with_its_owner())

    assert not any(cluster.objects.values())


async def test_a_dead_operators_finalizer_is_removed_after_a_while() -> None:
    cluster = an_installation(operator_alive=False)

    said = await _uninstall(cluster)

    assert "the operator does not let go of ModelVersion demo/smollm2-1: removing its finalizer" in said
    assert not any(cluster.objects.values())


async def test_a_living_operator_is_not_taken_for_dead() -> None:
    said = await _uninstall(an_installation())

    assert not any("does not let go" in line for line in said)


async def test_a_finalizer_of_somebody_else_is_left_and_the_deadline_ends_it() -> None:
    cluster = an_installation(operator_alive=False)
    cluster.objects[MODEL_VERSION][0]["metadata"]["finalizers"].append("example.org/audit")
    work = Uninstall(cluster, "sluicegate-system", lambda text: None)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await work.run()

    assert cluster.objects[MODEL_VERSION][0]["metadata"]["finalizers"] == ["example.org/audit"]
    assert work.left == "1 modelversions: demo/smollm2-1"
    assert cluster.objects[DEPLOYMENT]


async def test_what_is_made_meanwhile_is_removed_too() -> None:
    cluster = an_installation()
    cluster.objects[LLM_DEPLOYMENT][0]["metadata"]["finalizers"] = ["example.org/slow"]

    async def comes_late() -> None:
        await asyncio.sleep(5)
        cluster.has(LLM_DEPLOYMENT, "late")
        await asyncio.sleep(5)
        slow = cluster.objects[LLM_DEPLOYMENT][0]
        slow["metadata"]["finalizers"] = []
        cluster.objects[LLM_DEPLOYMENT].remove(slow)

    await asyncio.gather(_uninstall(cluster), comes_late())

    assert "LLMDeployment late" in cluster.deleted
    assert not any(cluster.objects.values())


async def test_it_goes_on_where_an_earlier_run_stopped() -> None:
    cluster = FakeCluster()
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)

    await _uninstall(cluster)

    assert cluster.deleted == ["ClusterRole sluicegate-manager"]
