"""plan_model_version(): the whole policy about one ModelVersion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.modelversion import ModelVersion, ModelVersionStatus
from sluicegate.core import naming
from sluicegate.core.conditions import Verdict, conditions, shortened, timestamp
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.inspection import Findings, inspection_job, outcome
from sluicegate.core.jobs import is_over, pods_of, suspended
from sluicegate.core.objects import (
    Manifest,
    condition,
    name,
    ref,
    resource_version,
    terminating,
    uid,
)
from sluicegate.core.observed import SeenModelVersion
from sluicegate.core.plan import Create, Delete, Event, Plan, SetFinalizers
from sluicegate.core.problem import Problem
from sluicegate.core.reading import read

FIRST_RETRY = timedelta(seconds=10)
LAST_RETRY = timedelta(minutes=10)
IN_USE_POLL = timedelta(seconds=5)


def plan_model_version(seen: SeenModelVersion, now: datetime) -> Plan:
    """What to do about this ModelVersion now. Total and deterministic; `seen` is not changed."""
    if terminating(seen.custom_resource):
        return _leave(seen, now)
    try:
        model = read(ModelVersion, seen.custom_resource)
    except ValidationError as error:
        return _invalid(seen.custom_resource, error, now)
    if naming.FINALIZER not in model.metadata.finalizers:
        finalizers = (*model.metadata.finalizers, naming.FINALIZER)
        return Plan((_finalizers(seen, finalizers, "kept while a deployment uses it"),))
    if model.status.digest:
        return Plan(tuple(_tidy(seen)), _verified(seen.custom_resource, now))
    return _inspect(seen, model, now)


def users(model_version: str, deployments: Iterable[Manifest]) -> tuple[str, ...]:
    """The LLMDeployments, of the same namespace, that name the version or still run pods of it."""
    return tuple(sorted(name(each) for each in deployments if model_version in _named(each)))


def _named(deployment: Manifest) -> set[str]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    speculative = (spec.get("engine") or {}).get("speculative") or {}
    rollout = status.get("rollout") or {}
    return {
        str(version)
        for version in (
            spec.get("modelVersion"),
            speculative.get("draftModelVersion"),
            (status.get("serving") or {}).get("version"),
            rollout.get("fromVersion"),
            rollout.get("toVersion"),
        )
        if version
    }


def _finalizers(seen: SeenModelVersion, finalizers: tuple[str, ...], reason: str) -> SetFinalizers:
    obj = seen.custom_resource
    return SetFinalizers(ref(obj), finalizers, uid(obj), resource_version(obj), reason)


def _leave(seen: SeenModelVersion, now: datetime) -> Plan:
    """Deletion: the finalizer goes when nothing uses the version any more, valid or not."""
    finalizers = tuple(seen.custom_resource["metadata"].get("finalizers") or ())
    if naming.FINALIZER not in finalizers:
        return Plan()
    if not seen.users:
        left = tuple(each for each in finalizers if each != naming.FINALIZER)
        return Plan((_finalizers(seen, left, "nothing uses it any more"),))
    names = ", ".join(seen.users[:5]) + (" and others" if len(seen.users) > 5 else "")
    text = f"deletion waits until no LLMDeployment uses it: {names}"
    return _blocked(seen.custom_resource, Problem(Reason.IN_USE, text, stalled=False), now, IN_USE_POLL)


def _inspect(seen: SeenModelVersion, model: ModelVersion, now: datetime) -> Plan:
    obj, job = seen.custom_resource, next(iter(seen.jobs), None)
    if seen.obstacle:
        return _blocked(obj, seen.obstacle, now)
    if job is None:
        return _start(seen, model, now)
    pods = pods_of(job, seen.pods)
    found = outcome(pods) or _without_result(job, pods)
    if isinstance(found, Findings):
        status = _verified(obj, now) | _recorded(found)
        return Plan((), status, _news(obj, status))
    if found is None or terminating(job):
        problem = None if found else suspended(job, Reason.INSPECTING) or diagnose(None, pods)
        return _under_way(obj, model, problem, now)
    return _failed(obj, model, job, found, now)


def _without_result(job: Manifest, pods: Iterable[Manifest]) -> Problem | None:
    """An inspection that ended and left nothing to read: its pod was evicted or deleted.

    A pod that is still seen running has its result on the way.
    """
    phases = {(pod.get("status") or {}).get("phase") for pod in pods}
    if phases - {"Failed", "Succeeded"} or not is_over(job):
        return None
    said = (condition(job, "Failed") or {}).get("message") or "its pod is gone"
    return Problem(Reason.INSPECTION_FAILED, f"the inspection ended without a result: {said}", stalled=False)


def _start(seen: SeenModelVersion, model: ModelVersion, now: datetime) -> Plan:
    wait = _wait(model, now)
    if wait > timedelta(0):
        return Plan(requeue_after=wait)
    job = Create(inspection_job(model, seen.defaults), "the files have to be verified")
    return replace(_under_way(seen.custom_resource, model, None, now), actions=(job,))


def _under_way(obj: Manifest, model: ModelVersion, problem: Problem | None, now: datetime) -> Plan:
    """An inspection runs. Until it ends better, what the last one said stays."""
    if problem is None and model.status.attempts:
        return Plan()
    reading = Problem(Reason.INSPECTING, "a Job reads and checks every file", stalled=False)
    return _blocked(obj, problem or reading, now)


def _wait(model: ModelVersion, now: datetime) -> timedelta:
    """Time until an inspection may start: 10 s after a failure, then twice as long each time, up to 10 min.

    A failure that is still to come, since a clock was set back, is not waited for: that might be for ever.
    """
    failed = model.status.last_attempt_time
    passed = now - datetime.fromisoformat(failed) if failed else timedelta(-1)
    if passed < timedelta(0):
        return timedelta(0)
    waits = min(max(model.status.attempts, 1) - 1, 10)
    pause: timedelta = min(FIRST_RETRY * 2**waits, LAST_RETRY)
    return pause - passed


def _failed(obj: Manifest, model: ModelVersion, job: Manifest, problem: Problem, now: datetime) -> Plan:
    """A failed Job is counted once, kept for its log until the next attempt is due, and then removed."""
    if model.status.last_attempt_uid != uid(job):
        plan = _blocked(obj, problem, now, FIRST_RETRY)
        failure = {
            "attempts": model.status.attempts + 1,
            "lastAttemptTime": timestamp(now),
            "lastAttemptUid": uid(job),
        }
        return replace(plan, status={**(plan.status or {}), **failure})
    wait = _wait(model, now)
    if wait > timedelta(0):
        return Plan(requeue_after=wait)
    return Plan((_delete(job, "it failed, and another attempt is due"),), requeue_after=timedelta(seconds=1))


def _blocked(obj: Manifest, problem: Problem, now: datetime, again: timedelta | None = None) -> Plan:
    kind = "Stalled" if problem.stalled else "Reconciling"
    verdicts = [
        Verdict("Ready", False, problem.reason, problem.message),
        Verdict(kind, True, problem.reason, problem.message),
    ]
    status = _status(obj, verdicts, now)
    return Plan((), status, _news(obj, status), again)


def _verified(obj: Manifest, now: datetime) -> dict[str, Any]:
    verdict = Verdict("Ready", True, Reason.VERIFIED, "every file was read, hashed and checked")
    return _status(obj, [verdict], now)


def _recorded(found: Findings) -> dict[str, Any]:
    return {
        "digest": found.digest,
        "sizeBytes": found.size_bytes,
        "size": human_size(found.size_bytes),
        "facts": found.facts.model_dump(mode="json", by_alias=True),
        "attempts": 0,
    }


def _status(obj: Manifest, verdicts: list[Verdict], now: datetime) -> dict[str, Any]:
    """The whole status: what was found stays, what is judged is new."""
    before, generation = _before(obj), int(obj["metadata"].get("generation", 0))
    kept = before.model_dump(mode="json", by_alias=True, exclude_none=True)
    judged = conditions(verdicts, before.conditions, generation, now)
    return {**kept, "observedGeneration": generation, "conditions": judged}


def _before(obj: Manifest) -> ModelVersionStatus:
    try:
        return ModelVersionStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        return ModelVersionStatus()


def _tidy(seen: SeenModelVersion) -> Iterator[Delete]:
    for job in seen.jobs:
        if not terminating(job):
            yield _delete(job, "it has done its work")
            return


def _delete(job: Manifest, reason: str) -> Delete:
    return Delete(ref(job), uid(job), resource_version(job), reason)


def _news(obj: Manifest, status: dict[str, Any]) -> tuple[Event, ...]:
    """One event where Ready has another reason than before."""
    before = next((each.reason for each in _before(obj).conditions if each.type == "Ready"), None)
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    if ready["reason"] == before:
        return ()
    good = ready["status"] == "True" or ready["reason"] == Reason.INSPECTING
    return (Event("Normal" if good else "Warning", ready["reason"], shortened(ready["message"])),)


def _invalid(obj: Manifest, error: ValidationError, now: datetime) -> Plan:
    text = "; ".join(str(each["msg"]) for each in error.errors())
    return _blocked(obj, Problem(Reason.INVALID_SPEC, f"{text}. Make a new ModelVersion"), now)


def human_size(size: int) -> str:
    """Bytes with a binary unit and at most one decimal: 257.4 MiB."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
