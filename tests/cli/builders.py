"""Objects as a cluster would answer them, for the commands that report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sluicegate.cli.view import View

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32


def before(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_condition(type: str, status: str, reason: str, message: str = "", **ago: float) -> dict[str, Any]:
    return {
        "type": type,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": before(**(ago or {"minutes": 3, "seconds": 20})),
    }


def a_deployment(*conditions: dict[str, Any], observed: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "chat", "namespace": "demo", "generation": 1, "uid": "u-1"},
        "spec": {"modelVersion": "smollm2-2"},
        "status": {"observedGeneration": observed, "conditions": list(conditions), **status},
    }


def a_model_version(
    name: str, ready: str = "True", reason: str = "Verified", message: str = ""
) -> dict[str, Any]:
    conditions = [a_condition("Ready", ready, reason, message, hours=2)]
    return {"metadata": {"name": name, "namespace": "demo"}, "status": {"conditions": conditions}}


def a_pod(name: str, rollout: str = "0a1b2c3d", *, ready: bool = True, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "labels": {"sluicegate.dev/deployment": "chat", "sluicegate.dev/rollout": rollout},
            "creationTimestamp": before(minutes=5),
        },
        "spec": {"nodeName": "node1"},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}], "phase": "Running", **status},
    }


def a_waiting_engine(reason: str, message: str, restarts: int = 0) -> dict[str, Any]:
    waiting = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "engine", "state": waiting, "restartCount": restarts}]}


def a_warning(
    reason: str, note: str, kind: str = "Pod", name: str = "chat-x", **ago: float
) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.{reason}", "creationTimestamp": before(**(ago or {"minutes": 1}))},
        "type": "Warning",
        "reason": reason,
        "note": note,
        "regarding": {"kind": kind, "name": name},
    }


def a_view(
    deployment: dict[str, Any],
    *model_versions: dict[str, Any],
    pods: tuple[dict[str, Any], ...] = (),
    replica_sets: tuple[dict[str, Any], ...] = (),
) -> View:
    versions = {version["metadata"]["name"]: version for version in model_versions}
    return View(deployment, versions, replica_sets, pods, NOW)


def serving(version: str = "smollm2-1", rollout: str = "0a1b2c3d") -> dict[str, Any]:
    return {"version": version, "digest": DIGEST, "rollout": rollout}
