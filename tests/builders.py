"""Builders of the objects that tests begin with, as JSON like the API server's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluicegate.core.conditions import timestamp
from sluicegate.core.observed import Defaults

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)

DEFAULTS = Defaults(
    cuda_image="engine-cuda:1",
    cpu_image="engine-cpu:1",
    store_image="sluicegate:1",
    operator_namespace="sluicegate-system",
    token_key=b"k" * 32,
)

FACTS = {
    "architecture": "LlamaForCausalLM",
    "dtype": "bfloat16",
    "quantization": "None",
    "parameters": 134515008,
    "contextLength": 2048,
    "attentionHeads": 4,
    "vocabularySize": 258,
    "tokenizerDigest": "sha256:" + "0" * 64,
}


def digest(of: str) -> str:
    return "sha256:" + of.encode().hex().ljust(64, "0")[:64]


@dataclass(frozen=True)
class ADeployment:
    """Builds an LLMDeployment: `ADeployment("chat").of("v1").with_replicas(2).build()`.

    What takes over is not observed unless a test says so: it would be so much longer.
    """

    name: str = "chat"
    namespace: str = "models"
    generation: int = 1
    spec: dict[str, Any] = field(default_factory=lambda: {"modelVersion": "v1", "engine": {"device": "CPU"}})
    status: dict[str, Any] | None = None

    def of(self, version: str) -> ADeployment:
        return self.with_spec(modelVersion=version)

    def with_replicas(self, replicas: int) -> ADeployment:
        return self.with_spec(replicas=replicas)

    def with_engine(self, **engine: Any) -> ADeployment:
        return self.with_spec(engine={**self.spec.get("engine", {}), **engine})

    def with_spec(self, **fields: Any) -> ADeployment:
        return replace(self, spec={**self.spec, **fields})

    def build(self) -> dict[str, Any]:
        obj: dict[str, Any] = {
            "apiVersion": "sluicegate.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": f"uid-{self.name}",
                "resourceVersion": "1",
                "generation": self.generation,
            },
            "spec": {**self.spec, "rollout": {"observeSeconds": 0, **self.spec.get("rollout", {})}},
        }
        if self.status is not None:
            obj["status"] = self.status
        return obj


def a_model_version(
    name: str = "v1", *, ready: bool = True, uri: str | None = None, **facts: Any
) -> dict[str, Any]:
    """A ModelVersion on a claim; `ready` means inspected and verified."""
    verified = {
        "observedGeneration": 1,
        "digest": digest(name),
        "sizeBytes": 1,
        "facts": {**FACTS, **facts},
        "conditions": [],
    }
    return {
        "apiVersion": "sluicegate.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {
            "name": name,
            "namespace": "models",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "finalizers": ["sluicegate.dev/in-use"],
        },
        "spec": {"source": {"uri": uri or f"pvc://weights/{name}"}},
        "status": verified if ready else {"observedGeneration": -1},
    }


def a_node(name: str = "node1", **allocatable: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"},
        "status": {
            "allocatable": {key.replace("__", "/").replace("_", "."): v for key, v in allocatable.items()}
        },
    }


READY: dict[str, Any] = {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
STARTING: dict[str, Any] = {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "False"}]}


def a_pod(name: str, deployment: str = "chat", rollout: str = "", **status: Any) -> dict[str, Any]:
    """A model pod that is not ready yet."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "models",
            "labels": {
                "app.kubernetes.io/managed-by": "sluicegate",
                "sluicegate.dev/deployment": deployment,
                "sluicegate.dev/rollout": rollout,
            },
        },
        "status": {**STARTING, **status},
    }


def a_job_pod(name: str, job: dict[str, Any], **status: Any) -> dict[str, Any]:
    """The pod of a Job, which has not begun yet."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "models",
            "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
            "ownerReferences": [{**owner, "uid": job["metadata"]["uid"]}],
        },
        "status": {"phase": "Pending", "conditions": [], **status},
    }


def an_exit(code: int, message: str = "", reason: str = "") -> dict[str, Any]:
    """Status of the pod of a Job that has ended so."""
    terminated = {
        "exitCode": code,
        "reason": reason or ("Error" if code else "Completed"),
        "message": message,
    }
    container = {"name": "job", "restartCount": 0, "state": {"terminated": terminated}}
    return {"phase": "Failed" if code else "Succeeded", "conditions": [], "containerStatuses": [container]}


RUNNING: dict[str, Any] = {"phase": "Running", "conditions": []}


def tried_version(job: Any) -> str:
    """The version that a verification Job, or its pod, tries."""
    pod = job["spec"].get("template", job)["spec"]
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    return variables["SLUICEGATE_VERSION"]


def unschedulable(words: str, since: datetime | None = None) -> dict[str, Any]:
    """Status of a pod that the scheduler finds no node for."""
    moment = {"lastTransitionTime": timestamp(since)} if since else {}
    return {"conditions": [{"type": "PodScheduled", "status": "False", "message": words, **moment}]}


def waiting(reason: str, message: str = "", container: str = "engine") -> dict[str, Any]:
    """Status of a pod with a container that the kubelet cannot start."""
    return _with_container(container, state={"waiting": {"reason": reason, "message": message}})


def ended(
    message: str = "",
    *,
    container: str = "engine",
    exit_code: int = 1,
    reason: str = "Error",
    restarts: int = 0,
    backing_off: bool = False,
    lived: timedelta | None = timedelta(seconds=20),
) -> dict[str, Any]:
    """Status of a pod with a container that ended and was restarted that often; `lived` None never began."""
    times = {"startedAt": timestamp(NOW - lived), "finishedAt": timestamp(NOW)} if lived else {}
    terminated = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, **times}}
    if not restarts:
        return _with_container(container, state=terminated)
    now = {"waiting": {"reason": "CrashLoopBackOff"}} if backing_off else {"running": {}}
    return _with_container(container, state=now, lastState=terminated, restartCount=restarts)


def _with_container(name: str, **state: Any) -> dict[str, Any]:
    field = "initContainerStatuses" if name == "store" else "containerStatuses"
    return {**STARTING, field: [{"name": name, "restartCount": 0, **state}]}


RECORDED_WITH = "vllm 0.32.0 on cpu --dtype=auto --enforce-eager --kv-cache-dtype=auto"
"""The engine of a small deployment on CPU."""


def a_golden_prompt(name: str = "capital", **fields: Any) -> dict[str, Any]:
    """Two tokens, each of -0.5 nats."""
    return {
        "name": name,
        "recordedWith": RECORDED_WITH,
        "prompt": [5, 6, 7],
        "tokens": [8, 9],
        "logProbabilitiesMilliNats": [-500, -500],
        **fields,
    }


def with_golden_prompts(model_version: dict[str, Any], *prompts: dict[str, Any]) -> dict[str, Any]:
    return {**model_version, "spec": {**model_version["spec"], "goldenPrompts": list(prompts)}}
