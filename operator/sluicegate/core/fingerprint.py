"""The fingerprint of an engine: what its arithmetic depends on, in one line that people can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluicegate.api.v1alpha1.golden import LONGEST_ENGINE
from sluicegate.core.extra_args import argument_name
from sluicegate.core.naming import digest_of

ARITHMETIC = frozenset(
    {
        "attention-backend",
        "attention-config",
        "compilation-config",
        "disable-cascade-attn",
        "disable-custom-all-reduce",
        "disable-sliding-window",
        "dtype",
        "enable-expert-parallel",
        "enforce-eager",
        "kernel-config",
        "kv-cache-dtype",
        "linear-backend",
        "logprobs-mode",
        "model-impl",
        "moe-backend",
        "optimization-level",
        "performance-mode",
        "pipeline-parallel-size",
        "quantization",
        "speculative-config",
        "tensor-parallel-size",
    }
)
"""vLLM's arguments that change which numbers come out, if only in their last bits."""


def fingerprint(template: Mapping[str, Any] | None, vllm: str) -> str:
    """Of the engine in a pod template, run by this version of vLLM. Equal ones may be compared."""
    engine = _engine(template)
    head = f"vllm {vllm} on {_device(engine)}"
    flags = [flag for flag in _flags(engine) if argument_name(flag) in ARITHMETIC]
    text = " ".join((head, *sorted(flags)))
    return text if len(text) <= LONGEST_ENGINE else f"{head} with flags {digest_of(sorted(flags), 16)}"


def _engine(template: Mapping[str, Any] | None) -> Mapping[str, Any]:
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return next((each for each in containers if each.get("name") == "engine"), {})


def _device(engine: Mapping[str, Any]) -> str:
    """The resource that its accelerators are counted by."""
    limits = (engine.get("resources") or {}).get("limits") or {}
    return next((name for name in limits if "/" in name), "cpu")


def flags(template: Mapping[str, Any] | None) -> list[str]:
    """vLLM's arguments in a pod template."""
    return _flags(_engine(template))


def _flags(engine: Mapping[str, Any]) -> list[str]:
    command = list(engine.get("command") or ())
    return command[command.index("--") + 1 :] if "--" in command else []
