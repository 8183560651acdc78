"""The gate of a Job: a container of the user's tries the new pods, and its exit code decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.gates import JobGate
from sluicegate.core import children, naming
from sluicegate.core.colours import Colour
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.gate import Gate, asked_at, refused
from sluicegate.core.jobs import pods_of, suspended
from sluicegate.core.objects import Manifest, annotation, condition, is_true, name, terminating
from sluicegate.core.plan import Create
from sluicegate.core.problem import Problem
from sluicegate.core.words import ending_of
from sluicegate.core.world import World

RUNNING = Reason.VERIFICATION_JOB_RUNNING


def gate(known: World, colour: Colour) -> Gate:
    """Whether the Job lets the colour serve. What was promoted before has proven more than a Job can."""
    asked = known.deployment.spec.rollout.verification.job
    if asked is None or colour.record.ending is not None:
        return Gate(opens=True)
    if asked.skip_reason is not None:
        return Gate(opens=True, note=f"verification Job skipped: {asked.skip_reason}")
    passed = f"verification Job passed (settings {settings(asked)})"
    if colour.record.notes(passed):
        return Gate(opens=True, note=passed)
    job = colour.job
    if job is None:
        return _to_be_made(known, colour, asked)
    if not (outdated(asked, job) or terminating(job)):
        return Gate(opens=True, note=passed) if is_true(job, "Complete") else _shut(known, asked, job)
    return Gate(
        opens=False, problem=Problem(RUNNING, f"Job {name(job)} makes room for another", stalled=False)
    )


def settings(asked: JobGate) -> str:
    """Hash of what decides about what a Job tries."""
    return naming.digest_of(asked.model_dump(mode="json", by_alias=True, exclude_defaults=True), 8)


def outdated(asked: JobGate | None, job: Manifest) -> bool:
    """Whether the spec asks for another Job now, or for none."""
    wanted = None if asked is None or asked.skip_reason is not None else settings(asked)
    return annotation(job, naming.SETTINGS) != wanted


def lacks_result(job: Manifest, pods: Iterable[Manifest]) -> bool:
    """Whether its container has failed, and is not seen to have ended."""
    failed = is_true(job, "Failed") and not _too_late(job)
    return failed and next(_ends(pods_of(job, pods)), None) is None


def _too_late(job: Manifest) -> bool:
    return (condition(job, "Failed") or {}).get("reason") == "DeadlineExceeded"


def _to_be_made(known: World, colour: Colour, asked: JobGate) -> Gate:
    url = asked_at(known, colour)
    job = children.verification_job(
        known.deployment, colour.id, colour.version, url or "", asked, settings(asked)
    )
    make = (Create(job, "a Job has to let it pass"),) if url else ()
    return Gate(opens=False, asks=make)


def _shut(known: World, asked: JobGate, job: Manifest) -> Gate:
    pods = pods_of(job, known.seen.pods)
    why = _failure(asked, job, pods) if is_true(job, "Failed") else None
    if why is None:
        return Gate(opens=False, problem=_under_way(asked, job, pods))
    until = f"the spec changes or Job {name(job)} is deleted, which runs it again"
    return refused(known, Reason.VERIFICATION_JOB_FAILED, f"Job {name(job)} {why}", until)


def _failure(asked: JobGate, job: Manifest, pods: list[Manifest]) -> str | None:
    """How a failed Job ended; None where a pod that is still seen running has its result on the way."""
    if _too_late(job):
        return f"did not end within timeoutSeconds ({asked.timeout_seconds})"
    ended = next(_ends(pods), None)
    if ended is not None:
        words = ending_of(str(ended.get("message") or ended.get("reason") or ""))
        return f"ended with exit code {ended['exitCode']}{f': {words}' if words else ''}"
    if any((pod.get("status") or {}).get("phase") == "Running" and not terminating(pod) for pod in pods):
        return None
    return f"failed: {(condition(job, 'Failed') or {}).get('message') or 'its pod is gone'}"


def _ends(pods: Iterable[Manifest]) -> Iterator[Mapping[str, Any]]:
    """How containers ended that did not succeed."""
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated")
            if ended and ended.get("exitCode"):
                yield ended


def _under_way(asked: JobGate, job: Manifest, pods: list[Manifest]) -> Problem:
    if held := suspended(job, RUNNING):
        return held
    waiting = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Pending"]
    if found := diagnose(None, waiting):
        return replace(found, message=f"Job {name(job)}: {found.message}")
    text = f"Job {name(job)} tries the new pods, for at most {asked.timeout_seconds} s"
    return Problem(RUNNING, text, stalled=False)
