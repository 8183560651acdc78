"""The pod template of a colour: a store sidecar that brings the files, and the engine that serves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluicegate.api.meta import Model
from sluicegate.api.v1alpha1.engine import Device
from sluicegate.api.v1alpha1.llmdeployment import Accelerator, LLMDeployment, LLMDeploymentSpec, Pod
from sluicegate.api.v1alpha1.observability import MILLION, RequestLog
from sluicegate.core import naming
from sluicegate.core.observed import Defaults
from sluicegate.core.pointer import Files, Pointer

SERVING_PORT = 8000
PROBE_PORT = 9400
CONTROL_PORT = 9401
STORE_PORT = 9402

POINTER_FOLDER = "/etc/sluicegate/model"
POINTER_KEY = "pointer.json"
CONTROL_FOLDER = "/etc/sluicegate/control"
TOKEN_KEY = "token"
MODELS = "/models"

USER = 65532

# After the drain the runtime stops vLLM and ends; this much longer the kubelet waits before it kills.
SHUTDOWN_MARGIN_SECONDS = 30

# A token goes to the hub of its own source: one variable for the model, one for the draft model.
TOKEN_VARIABLES = ("HF_TOKEN", "HF_TOKEN_DRAFT")

# A download may take hours, and no restart would make it faster: the sidecar itself ends on an error.
STORE_STARTUP_SECONDS = 86_400


def pod_template(
    deployment: LLMDeployment,
    rollout: str,
    pointer: Pointer,
    engine_flags: tuple[str, ...],
    defaults: Defaults,
) -> dict[str, Any]:
    """The template as it is recorded once for a colour and never rendered again."""
    spec = deployment.spec
    pod = spec.pod
    metadata: dict[str, Any] = {
        "labels": {**pod.labels, **naming.colour_labels(deployment.metadata.name, rollout)},
        **({"annotations": dict(pod.annotations)} if pod.annotations else {}),
    }
    return {
        "metadata": metadata,
        "spec": {
            "enableServiceLinks": False,
            "automountServiceAccountToken": pod.service_account_name is not None,
            "terminationGracePeriodSeconds": spec.rollout.drain_seconds + SHUTDOWN_MARGIN_SECONDS,
            "securityContext": pod_security(),
            "initContainers": [_store(pointer, defaults)],
            "containers": [_engine(deployment, engine_flags, defaults)],
            "volumes": _volumes(deployment.metadata.name, rollout, pointer),
            **_passed_through(pod, {naming.DEPLOYMENT: deployment.metadata.name, naming.ROLLOUT: rollout}),
        },
    }


def pod_security() -> dict[str, Any]:
    """What the Pod Security level `restricted` asks of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """What the Pod Security level `restricted` asks of a container, and a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def source_mounts(files: tuple[Files, ...]) -> list[dict[str, Any]]:
    """Where a container of the small image sees the claims that hold sources."""
    return [
        {"name": f"source-{index}", "mountPath": f"/sources/{claim}", "readOnly": True}
        for index, claim in enumerate(_claims(files))
    ]


def source_volumes(files: tuple[Files, ...]) -> list[dict[str, Any]]:
    return [
        {"name": f"source-{index}", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for index, claim in enumerate(_claims(files))
    ]


def source_environment(files: tuple[Files, ...]) -> list[dict[str, Any]]:
    """Credentials of hub sources; they are given to containers of the small image alone."""
    tokens = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": file.secret_name, "key": "token"}}}
        for variable, file in zip(TOKEN_VARIABLES, files, strict=False)
        if file.secret_name
    ]
    return [{"name": "HOME", "value": "/tmp"}, *tokens]


def _claims(files: tuple[Files, ...]) -> list[str]:
    return sorted({file.claim for file in files if file.claim})


def _store(pointer: Pointer, defaults: Defaults) -> dict[str, Any]:
    return {
        "name": "store",
        "image": defaults.store_image,
        "restartPolicy": "Always",
        "command": [
            "sluicegate-store",
            "serve",
            f"--pointer={POINTER_FOLDER}/{POINTER_KEY}",
            f"--root={MODELS}",
            f"--port={STORE_PORT}",
        ],
        "env": source_environment(pointer.files),
        "ports": [{"name": "store", "containerPort": STORE_PORT}],
        "startupProbe": {
            "httpGet": {"path": "/ready", "port": "store"},
            "periodSeconds": 1,
            "failureThreshold": STORE_STARTUP_SECONDS,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS},
            {"name": "pointer", "mountPath": POINTER_FOLDER, "readOnly": True},
            {"name": "store-tmp", "mountPath": "/tmp"},
            *source_mounts(pointer.files),
        ],
    }


def _engine(deployment: LLMDeployment, engine_flags: tuple[str, ...], defaults: Defaults) -> dict[str, Any]:
    spec = deployment.spec
    return {
        "name": "engine",
        "image": spec.engine.image or _default_image(spec.engine.device, defaults),
        "command": ["sluicegate-engine", "run", *_runtime_flags(deployment), "--", *engine_flags],
        **({"env": environment} if (environment := _environment(deployment)) else {}),
        "ports": [
            {"name": "http", "containerPort": SERVING_PORT},
            {"name": "probe", "containerPort": PROBE_PORT},
            {"name": "control", "containerPort": CONTROL_PORT},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "probe"},
            # A busy node answers late now and then; a dead engine ends its container in a second anyway.
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "probe"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "resources": _resources(spec),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS, "readOnly": True},
            {"name": "pointer", "mountPath": POINTER_FOLDER, "readOnly": True},
            {"name": "control", "mountPath": CONTROL_FOLDER, "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _environment(deployment: LLMDeployment) -> list[dict[str, str]]:
    values = {**_threads(deployment.spec), **_tracing(deployment)}
    return [{"name": name, "value": value} for name, value in values.items()]


def _tracing(deployment: LLMDeployment) -> dict[str, str]:
    """OpenTelemetry's own variables, which the runtime goes by."""
    tracing = deployment.spec.observability.tracing
    if tracing is None:
        return {}
    namespace = deployment.metadata.namespace
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": tracing.endpoint,
        "OTEL_SERVICE_NAME": deployment.metadata.name,
        "OTEL_RESOURCE_ATTRIBUTES": f"k8s.namespace.name={namespace}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{tracing.sampling_rate_per_million / MILLION:.6f}",
    }


def _threads(spec: LLMDeploymentSpec) -> dict[str, str]:
    """On CPU, as many threads as the pod is promised processors: more would take turns on them."""
    if spec.engine.device is not Device.CPU or spec.resources.cpu is None:
        return {}
    threads = max(1, _whole(spec.resources.cpu) // spec.engine.parallelism.tensor)
    return {"OMP_NUM_THREADS": str(threads)}


def _whole(cpu: str) -> int:
    """Whole processors of a CPU quantity: 0 of 500m, 4 of 4 and of 4500m."""
    return int(cpu[:-1]) // 1000 if cpu.endswith("m") else int(cpu)


def _runtime_flags(deployment: LLMDeployment) -> list[str]:
    spec = deployment.spec
    prompt_tokens = spec.admission.max_queued_prompt_tokens
    return [
        f"--pointer={POINTER_FOLDER}/{POINTER_KEY}",
        f"--models={MODELS}",
        f"--served-model-name={served_model_name(deployment)}",
        f"--serving-port={SERVING_PORT}",
        f"--probe-port={PROBE_PORT}",
        f"--control-port={CONTROL_PORT}",
        f"--control-token-file={CONTROL_FOLDER}/{TOKEN_KEY}",
        f"--max-concurrent={spec.engine.max_concurrent_sequences}",
        f"--max-queued={spec.admission.max_queued_requests}",
        *([] if prompt_tokens is None else [f"--max-queued-prompt-tokens={prompt_tokens}"]),
        f"--drain-seconds={spec.rollout.drain_seconds}",
        *(["--request-log=disabled"] if spec.observability.request_log is RequestLog.DISABLED else []),
    ]


def served_model_name(deployment: LLMDeployment) -> str:
    return deployment.spec.served_model_name or deployment.metadata.name


def _default_image(device: Device, defaults: Defaults) -> str:
    return defaults.cuda_image if device is Device.CUDA else defaults.cpu_image


def accelerator_of(spec: LLMDeploymentSpec) -> Accelerator | None:
    """The accelerators of one replica: as written, or as many as the parallelism on CUDA needs."""
    if spec.resources.accelerator is not None or spec.engine.device is Device.CPU:
        return spec.resources.accelerator
    return Accelerator(count=spec.engine.parallelism.tensor * spec.engine.parallelism.pipeline)


def _resources(spec: LLMDeploymentSpec) -> dict[str, Any]:
    requests = {
        name: value
        for name, value in (("cpu", spec.resources.cpu), ("memory", spec.resources.memory))
        if value
    }
    limits = {"memory": spec.resources.memory} if spec.resources.memory else {}
    accelerator = accelerator_of(spec)
    if accelerator:
        limits[accelerator.resource] = str(accelerator.count)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _volumes(deployment: str, rollout: str, pointer: Pointer) -> list[dict[str, Any]]:
    return [
        {"name": "models", "emptyDir": {}},
        {"name": "pointer", "configMap": {"name": naming.pointer_name(deployment, rollout)}},
        {"name": "control", "secret": {"secretName": naming.control_name(deployment), "defaultMode": 0o440}},
        # NCCL and vLLM's own processes exchange tensors here; it counts towards the memory limit.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "store-tmp", "emptyDir": {}},
        *source_volumes(pointer.files),
    ]


def _passed_through(pod: Pod, colour: Mapping[str, str]) -> dict[str, Any]:
    """What the spec says of pods in Kubernetes' own words; `colour` are the labels of those made from it."""
    spread = [
        {**_as_json(each), "labelSelector": {"matchLabels": dict(colour)}}
        for each in pod.topology_spread_constraints
    ]
    given = {
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [_as_json(each) for each in pod.tolerations],
        "topologySpreadConstraints": spread,
        "imagePullSecrets": [{"name": name} for name in pod.image_pull_secrets],
        "serviceAccountName": pod.service_account_name,
        "priorityClassName": pod.priority_class_name,
    }
    return {key: value for key, value in given.items() if value}


def _as_json(part: Model) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)
