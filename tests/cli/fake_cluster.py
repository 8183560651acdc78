"""A cluster in memory with installations of the operator in it, for the commands that remove them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluicegate.cli.installation import NAMESPACES
from sluicegate.core.naming import FINALIZER
from sluicegate.kube.client import Listing
from sluicegate.kube.errors import Conflict, NotFound
from sluicegate.kube.resources import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NAMESPACE,
    SECRET,
    Resource,
)

PART_OF = {"app.kubernetes.io/part-of": "sluicegate"}
OPERATOR = {**PART_OF, "app.kubernetes.io/component": "operator"}
SYSTEM = "sluicegate-system"
OWN_NAMESPACE = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
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
        obj = self.one(resource, name)
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
        obj = self.one(resource, name)
        obj["metadata"] |= patch["metadata"]
        self._collect(resource, obj)
        return obj

    def one(self, resource: Resource, name: str) -> dict[str, Any]:
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
    an_operator(cluster)
    cluster.has(SECRET, "sluicegate-operator-key", SYSTEM, labels=PART_OF)
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)
    cluster.has(NAMESPACE, SYSTEM, "", labels=PART_OF)
    return cluster


def an_operator(cluster: FakeCluster, namespace: str = SYSTEM, **namespaces: Any) -> None:
    """One with its binding to the cluster's nodes; `namespaces` is how its environment names those."""
    container = {
        "name": "operator",
        "env": [{"name": NAMESPACES, **namespaces}] if namespaces else [],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    operator = cluster.has(DEPLOYMENT, f"operator-{namespace}", namespace, labels=OPERATOR)
    operator["spec"] = {"template": {"spec": {"containers": [container]}}}
    binding = cluster.has(CLUSTER_ROLE_BINDING, f"nodes-{namespace}", "", labels=PART_OF)
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}]
