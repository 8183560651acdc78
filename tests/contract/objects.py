"""Manifests of the kinds that the operator writes, small and shaped as the operator shapes them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

Object = dict[str, Any]


def of(api_version: str, kind: str, name: str, **parts: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **copy.deepcopy(parts)}


def having(obj: Object, **metadata: Any) -> Object:
    """The object with more metadata."""
    return {**obj, "metadata": {**obj["metadata"], **metadata}}


def config_map(name: str = "a", **data: str) -> Object:
    return of("v1", "ConfigMap", name, data=data or {"key": "1"})


def secret(name: str = "a") -> Object:
    return of("v1", "Secret", name, stringData={"token": "s3cret"})


def service(name: str = "chat", **selector: str) -> Object:
    spec = {
        "selector": selector or {"app": "chat"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    }
    return of("v1", "Service", name, spec=spec)


def pod_spec() -> Object:
    """Most of what a model pod says."""
    return {
        "restartPolicy": "Always",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [
            {"name": "store", "image": "small:1", "restartPolicy": "Always", "command": ["store"]}
        ],
        "containers": [
            {
                "name": "engine",
                "image": "engine",
                "env": [
                    {"name": "HOME", "value": "/tmp"},
                    {"name": "EMPTY", "value": ""},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
                "ports": [{"name": "http", "containerPort": 8000}, {"name": "probe", "containerPort": 9400}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "probe"}},
                "resources": {"limits": {"cpu": "1000m", "memory": "2048Mi"}},
                "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
            }
        ],
        "volumes": [
            {"name": "models", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
            {"name": "pointer", "configMap": {"name": "pointer"}},
        ],
    }


def replica_set(name: str = "chat-1") -> Object:
    labels = {"app": "chat"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return of("apps/v1", "ReplicaSet", name, spec=spec)


def job(name: str = "inspect") -> Object:
    spec = pod_spec() | {"restartPolicy": "Never", "initContainers": []}
    return of("batch/v1", "Job", name, spec={"backoffLimit": 0, "template": {"spec": spec}})


def pod(name: str = "p", **spec: Any) -> Object:
    bare = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i:1"}]}
    return of("v1", "Pod", name, spec={**bare, **spec})


def disruption_budget(name: str = "chat") -> Object:
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"app": "chat"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return of("policy/v1", "PodDisruptionBudget", name, spec=spec)


def network_policy(name: str = "chat") -> Object:
    spec = {
        "podSelector": {"matchLabels": {"app": "chat"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": 8000}]},
            {"from": [{"podSelector": {}}], "ports": [{"port": "control"}]},
        ],
    }
    return of("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def controller_revision(name: str = "chat-1") -> Object:
    return of("apps/v1", "ControllerRevision", name, revision=1, data={"spec": {"b": {"é": "<&>"}, "a": 1}})


def endpoint_slice(name: str = "chat-x") -> Object:
    return of(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        name,
        addressType="IPv4",
        ports=[{"name": "http", "port": 8000}],
        endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
    )


def lease(name: str = "sluicegate") -> Object:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return of("coordination.k8s.io/v1", "Lease", name, spec=spec)


def event(name: str = "e") -> Object:
    return of(
        "events.k8s.io/v1",
        "Event",
        name,
        eventTime="2026-01-01T00:00:00.000000Z",
        reportingController="sluicegate.dev/operator",
        reportingInstance="a",
        action="Reconcile",
        reason="Promoted",
        note="now serving",
        type="Normal",
        regarding={"kind": "LLMDeployment", "name": "chat"},
    )


def deployment(name: str = "chat", **spec: Any) -> Object:
    """The custom resource of crd.yaml."""
    return of("sluicegate.dev/v1alpha1", "LLMDeployment", name, spec={"modelVersion": "m1", **spec})


WRITTEN: Mapping[str, Callable[[], Object]] = {
    "config_map": config_map,
    "secret": secret,
    "service": service,
    "replica_set": replica_set,
    "job": job,
    "pod": pod,
    "disruption_budget": disruption_budget,
    "network_policy": network_policy,
    "controller_revision": controller_revision,
    "endpoint_slice": endpoint_slice,
    "lease": lease,
    "event": event,
    "deployment": deployment,
}
