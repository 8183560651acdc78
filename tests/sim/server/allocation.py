"""What storage and admission add to new objects of some kinds."""

from __future__ import annotations

from tests.sim.server.store import Object

from sluicegate.kube.resources import NAMESPACE, Resource

ADDRESSES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
"""Fields of a Service's spec that are its own for life."""


def allocate(resource: Resource, new: Object, number: int) -> None:
    """Add to a new object, the `number`th of all, what its storage adds. Nobody owns it."""
    if resource.kind == "Service":
        spec = new["spec"]
        spec.setdefault("clusterIP", f"10.96.{number // 250}.{number % 250 + 1}")
        spec |= {
            "clusterIPs": [spec["clusterIP"]],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
        }
        new["status"] = {"loadBalancer": {}}
    elif resource == NAMESPACE:
        meta = new["metadata"]
        meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta["name"]}
        new["spec"] = {"finalizers": ["kubernetes"]}
    elif resource.kind == "Pod":
        _schedule_by_default(new)
    elif resource.kind == "ReplicaSet":
        new["status"] = {"replicas": 0}
    elif resource.kind == "PodDisruptionBudget":
        new["status"] = dict.fromkeys(
            ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0
        )
    elif resource.kind == "Job":
        _label_job(new)


def _label_job(job: Object) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    template = job["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {})
    template |= {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    job["status"] = {}


def _quality(spec: Object) -> str:
    containers = (*spec.get("initContainers", ()), *spec["containers"])
    resources = [each.get("resources") or {} for each in containers]
    if not any(resources):
        return "BestEffort"
    whole = all(each.get("limits", {}).keys() >= {"cpu", "memory"} for each in resources)
    equal = all(each.get("limits") == each.get("requests") for each in resources)
    return "Guaranteed" if whole and equal else "Burstable"


def _schedule_by_default(pod: Object) -> None:
    """What admission adds to a pod."""
    spec = pod["spec"]
    spec |= {"preemptionPolicy": "PreemptLowerPriority", "priority": 0}
    spec["serviceAccount"] = spec.setdefault("serviceAccountName", "default")
    for taint in ("not-ready", "unreachable"):
        toleration = {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute"}
        spec.setdefault("tolerations", []).append({**toleration, "tolerationSeconds": 300})
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
