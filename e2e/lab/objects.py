"""Manifests that the end-to-end tests apply."""

from __future__ import annotations

from typing import Any

CLAIM = "weights"
"""The PersistentVolumeClaim with model folders that every lab namespace has."""

Object = dict[str, Any]


def a_model_version(name: str, folder: str, **spec: Any) -> Object:
    """A ModelVersion of a folder on the lab's claim."""
    source = spec.pop("source", {"uri": f"pvc://{CLAIM}/{folder}"})
    return {
        "apiVersion": "sluicegate.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name},
        "spec": {"source": source, **spec},
    }


def a_deployment(name: str, version: str, **spec: Any) -> Object:
    """A small fp32 LLMDeployment on CPU: its greedy answers are deterministic."""
    engine = {
        "device": "CPU",
        "dtype": "Float32",
        "maxModelLength": 512,
        "maxConcurrentSequences": 8,
        "kvCache": {"memoryMiB": 128},
        **spec.pop("engine", {}),
    }
    rollout = {"drainSeconds": 20, "observeSeconds": 5, **spec.pop("rollout", {})}
    return {
        "apiVersion": "sluicegate.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name},
        "spec": {
            "modelVersion": version,
            "servedModelName": "lab",
            "engine": engine,
            "resources": {"cpu": "100m", "memory": "3Gi"},
            "rollout": rollout,
            **spec,
        },
    }
