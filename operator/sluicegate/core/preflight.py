"""Preflight: may pods of the target be made, with which files and which engine flags."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.engine import Refusal, engine_flags
from sluicegate.core.objects import condition, terminating
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.placement import impossible_placement
from sluicegate.core.pointer import Pointer, files_of
from sluicegate.core.problem import Problem


@dataclass(frozen=True)
class Preflight:
    """`pointer` is None where the files are not known; `problem` is the first thing in the way."""

    pointer: Pointer | None
    flags: tuple[str, ...]
    problem: Problem | None


def preflight(spec: LLMDeploymentSpec, seen: SeenDeployment) -> Preflight:
    model = _model(spec.model_version, seen)
    draft_name = spec.engine.speculative.draft_model_version if spec.engine.speculative else None
    draft = _model(draft_name, seen) if draft_name else None
    unknown = next((found for found in (model, draft) if isinstance(found, Problem)), None)
    if unknown or isinstance(model, Problem) or isinstance(draft, Problem):
        return Preflight(None, (), unknown)
    pointer = Pointer(files_of(model), files_of(draft) if draft else None)
    flags = engine_flags(spec, model.status.facts, draft.status.facts if draft else None)
    if isinstance(flags, Refusal):
        return Preflight(pointer, (), Problem(Reason.ENGINE_REFUSED, f"{flags.reason}: {flags.message}"))
    doomed = _leaving(spec, seen) or impossible_placement(spec, seen.nodes)
    return Preflight(pointer, flags, doomed)


def _model(name: str, seen: SeenDeployment) -> ModelVersion | Problem:
    found = seen.model_versions.get(name)
    if found is None:
        return Problem(
            Reason.MODEL_VERSION_NOT_FOUND,
            f"ModelVersion {name} does not exist in this namespace: create it, or correct the name",
        )
    try:
        model = ModelVersion.model_validate(found)
    except ValidationError:
        return Problem(Reason.MODEL_VERSION_NOT_READY, f"ModelVersion {name} has an invalid spec")
    if not model.status.digest:
        ready = condition(found, "Ready") or {}
        why = f"{ready['reason']}: {ready.get('message', '')}" if ready else "it was not inspected yet"
        stalled = condition(found, "Stalled") is not None
        return Problem(Reason.MODEL_VERSION_NOT_READY, f"ModelVersion {name} is not ready: {why}", stalled)
    return model


def _leaving(spec: LLMDeploymentSpec, seen: SeenDeployment) -> Problem | None:
    found = seen.model_versions[spec.model_version]
    if not terminating(found):
        return None
    return Problem(
        Reason.MODEL_VERSION_TERMINATING,
        f"ModelVersion {spec.model_version} is being deleted and takes no new pods: name another one",
    )
