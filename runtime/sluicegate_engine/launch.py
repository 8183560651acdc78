"""How vLLM is started: its command line and its environment.

Whatever the operator derives from an LLMDeployment comes first on the command line and what must hold in
every pod comes last, because vLLM lets the last of equal flags win.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.gate_settings import VARIABLE, GateSettings
from sluicegate_engine.pointer import Pointer, snapshot_directory
from sluicegate_engine.settings import Settings
from sluicegate_engine.stacks import VARIABLE as STACKS

DRAFT_PLACE = '"@draft"'
_MIDDLEWARE = "sluicegate_engine.middleware.Gate"
_NO_DOMAIN = "none.invalid"
"""RFC 2606 keeps it from being anybody's. An empty list would allow all."""

_NOT_OVERRIDABLE = (
    # Flags that add to ours or take the server elsewhere, where coming last would not help.
    "--config",
    "--grpc-port",
    "--middleware",
    "--root-path",
    "--ssl-certfile",
    "--ssl-keyfile",
    "--uds",
)

_DROPPED = frozenset(
    {
        # Credentials: files come verified from the store, and the engine must not reach the hub.
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        # Opens routes that run anything in the workers, or change the model behind our back.
        "VLLM_SERVER_DEV_MODE",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
        # Silently wins over --kv-cache-memory-bytes on CPU.
        "VLLM_CPU_KVCACHE_SPACE",
        # Writes prompts or answers to the log.
        "VLLM_DEBUG_LOG_API_SERVER_RESPONSE",
        "VLLM_LOGGING_CONFIG_PATH",
        "VLLM_LOGGING_LEVEL",
        "VLLM_TRACE_FUNCTION",
        # Keeps a dead engine's server up; serves without our middleware.
        "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH",
        "VLLM_USE_RUST_FRONTEND",
        # What Kubernetes' service links put here for a Service named "vllm" is no port number.
        "VLLM_PORT",
    }
)
_DROPPED_PREFIXES = ("SLUICEGATE_", "SAGEMAKER_", "CUSTOM_FASTAPI_")

_FORCED = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
    # Longer than the pools of clients and gateways keep an idle connection, so that they close it and not we
    # while a request is on its way.
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
}


def engine_command(settings: Settings, pointer: Pointer) -> list[str]:
    """The command line of vLLM. Raises FatalError FlagRefused, DraftMissing or SnapshotMissing."""
    flags = [_with_draft(flag, settings, pointer) for flag in settings.engine_flags]
    for flag in flags:
        _refuse_override(flag)
    return [
        sys.executable,
        "-m",
        settings.engine_module,
        *flags,
        f"--model={snapshot_directory(settings.models, pointer.model)}",
        f"--served-model-name={settings.served_model_name}",
        f"--host={settings.host}",
        f"--port={settings.serving_port}",
        f"--middleware={_MIDDLEWARE}",
        f"--worker-extension-cls={settings.worker_extension}",
        # Several would each have a queue of their own.
        "--api-server-count=1",
        "--no-trust-remote-code",
        "--no-enable-log-requests",
        "--no-enable-log-outputs",
        "--disable-uvicorn-access-log",
        "--disable-fastapi-docs",
        # Whoever asks a model for images could have the pod fetch any address else; they come in the request.
        f"--allowed-media-domains={_NO_DOMAIN}",
        # We wait for what is in flight ourselves; what is left then has no time left.
        "--shutdown-timeout=0",
    ]


def engine_environment(
    inherited: Mapping[str, str], gate: GateSettings, stacks: Path, flags: Sequence[str]
) -> dict[str, str]:
    """The environment of vLLM: what was inherited, without what is harmful there, with what must hold.

    `stacks` is the folder in which its processes say where they are.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    # The user id of a pod has no name, and torch asks for one to place its caches.
    defaults = {
        "USER": "sluicegate",
        **_cpu_binding(flags, inherited.get("OMP_NUM_THREADS", "")),
        **_openmp(),
    }
    return {**defaults, **kept, **_FORCED, VARIABLE: gate.encode(), STACKS: str(stacks)}


def _with_draft(flag: str, settings: Settings, pointer: Pointer) -> str:
    if DRAFT_PLACE not in flag:
        return flag
    if pointer.draft is None:
        raise FatalError(
            "DraftMissing",
            f'the flag {flag} asks for a draft model, but the pointer file has no "draft"',
        )
    return flag.replace(DRAFT_PLACE, json.dumps(str(snapshot_directory(settings.models, pointer.draft))))


def _refuse_override(flag: str) -> None:
    # vLLM reads --some_flag as --some-flag, and completes the beginning of one.
    name = flag.partition("=")[0].replace("_", "-")
    if name.startswith("--") and any(whole.startswith(name) for whole in _NOT_OVERRIDABLE):
        raise FatalError("FlagRefused", f"the engine flag {name} is set by sluicegate-engine and nobody else")


def _cpu_binding(flags: Sequence[str], threads: str) -> dict[str, str]:
    """Share this container's processors among tensor-parallel ranks: vLLM on CPU will not start without.

    `threads` is how many each may take at most, "" where nobody has said so. Other devices do not read the
    variable.
    """
    ranks = next((int(f.partition("=")[2]) for f in flags if f.startswith("--tensor-parallel-size=")), 1)
    processors = sorted(os.sched_getaffinity(0))
    if ranks == 1:
        # Left to itself, vLLM pins the engines of all pods of a node to the same processors.
        return {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    share = max(1, len(processors) // ranks)
    if threads.isdigit():
        share = max(1, min(share, int(threads)))
    groups = [
        [processors[(rank * share + i) % len(processors)] for i in range(share)] for rank in range(ranks)
    ]
    return {"VLLM_CPU_OMP_THREADS_BIND": "|".join(",".join(map(str, group)) for group in groups)}


def _openmp() -> dict[str, str]:
    """Preload the OpenMP that vLLM's CPU build brings along; builds for other devices have none."""
    library = Path(sys.prefix) / "lib" / "libiomp5.so"
    return {"LD_PRELOAD": str(library)} if library.exists() else {}
