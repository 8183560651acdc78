"""The kinds that the project reads or writes, and where each is found in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """One kind. `api_version` is `v1` or `group/version`; `plural` is the name used in paths."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the collection, of one object, or of a subresource of it.

        Without a namespace, the collection of a namespaced kind spans all namespaces.
        """
        root = "/apis/" if self.group else "/api/"
        parts = [f"namespaces/{quote(namespace, safe='')}"] if self.namespaced and namespace else []
        parts += [self.plural, *(quote(part, safe="") for part in (name, subresource) if part)]
        return root + "/".join([self.api_version, *parts])

    def __str__(self) -> str:
        return self.kind


MODEL_VERSION = Resource("sluicegate.dev/v1alpha1", "ModelVersion", "modelversions")
LLM_DEPLOYMENT = Resource("sluicegate.dev/v1alpha1", "LLMDeployment", "llmdeployments")

POD = Resource("v1", "Pod", "pods")
SERVICE = Resource("v1", "Service", "services")
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
SECRET = Resource("v1", "Secret", "secrets")
SERVICE_ACCOUNT = Resource("v1", "ServiceAccount", "serviceaccounts")
PERSISTENT_VOLUME_CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
NODE = Resource("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Resource("v1", "Namespace", "namespaces", namespaced=False)

REPLICA_SET = Resource("apps/v1", "ReplicaSet", "replicasets")
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
CONTROLLER_REVISION = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
JOB = Resource("batch/v1", "Job", "jobs")
ENDPOINT_SLICE = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
DISRUPTION_BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
EVENT = Resource("events.k8s.io/v1", "Event", "events")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

ROLE = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLE = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = Resource(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
CUSTOM_RESOURCE_DEFINITION = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)

RESOURCES: Mapping[tuple[str, str], Resource] = {
    (each.api_version, each.kind): each for each in list(globals().values()) if isinstance(each, Resource)
}


def find(api_version: str, kind: str) -> Resource:
    """The table's entry for a kind; KeyError with the way out where it has none."""
    try:
        return RESOURCES[api_version, kind]
    except KeyError:
        raise KeyError(
            f"{api_version} {kind} is not in the table of kinds: add it to kube/resources.py"
        ) from None


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The table's entry for the manifest's apiVersion and kind."""
    return find(manifest["apiVersion"], manifest["kind"])
