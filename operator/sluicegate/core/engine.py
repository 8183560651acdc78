"""Engine flags: what the typed fields of a spec mean to vLLM, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import Facts


@dataclass(frozen=True)
class Refusal:
    """Why an engine with these settings would not start. `reason` is one word in CamelCase."""

    reason: str
    message: str


def engine_flags(
    spec: LLMDeploymentSpec, model: Facts | None, draft: Facts | None
) -> tuple[str, ...] | Refusal:
    """vLLM's arguments, or why there are none."""
    flags = [f"--max-num-seqs={spec.engine.max_concurrent_sequences}"]
    return tuple(flags)
