"""Preflight: may pods of the target be made, with which files and which engine flags."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.engine import Refusal, engine_flags
from sluicegate.core.objects import condition, is_true, name, terminating
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.placement import impossible_placement
from sluicegate.core.pointer import Pointer, files_of
from sluicegate.core.problem import Problem
from sluicegate.core.reading import read


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
    if isinstance(model, Problem):
        return Preflight(None, (), model)
    if isinstance(draft, Problem):
        return Preflight(None, (), draft)
    pointer = Pointer(files_of(model), files_of(draft) if draft else None)
    flags = engine_flags(spec, model.status.facts, draft.status.facts if draft else None)
    if isinstance(flags, Refusal):
        return Preflight(pointer, (), Problem(Reason.ENGINE_REFUSED, f"{flags.reason}: {flags.message}"))
    doomed = _leaving(pointer, seen) or impossible_placement(spec, seen.nodes)
    return Preflight(pointer, flags, doomed)


def _model(wanted: str, seen: SeenDeployment) -> ModelVersion | Problem:
    found = seen.model_versions.get(wanted)
    if found is None:
        return Problem(
            Reason.MODEL_VERSION_NOT_FOUND,
            f"ModelVersion {wanted} does not exist in this namespace: create it, or correct the name",
        )
    try:
        model = read(ModelVersion, found)
    except ValidationError:
        return Problem(Reason.MODEL_VERSION_NOT_READY, f"ModelVersion {wanted} has an invalid spec")
    if not model.status.digest:
        ready = condition(found, "Ready")
        why = f"{ready['reason']}: {ready.get('message', '')}" if ready else "it was not inspected yet"
        stalled = is_true(found, "Stalled")
        return Problem(Reason.MODEL_VERSION_NOT_READY, f"ModelVersion {wanted} is not ready: {why}", stalled)
    return model


def _leaving(pointer: Pointer, seen: SeenDeployment) -> Problem | None:
    versions = (seen.model_versions[files.version] for files in pointer.files)
    leaving = next((name(version) for version in versions if terminating(version)), None)
    if leaving is None:
        return None
    return Problem(
        Reason.MODEL_VERSION_TERMINATING,
        f"ModelVersion {leaving} is being deleted and takes no new pods: name another one",
    )
