"""What the operator's Jobs of one pod, which is tried once, tell of themselves."""

from __future__ import annotations

from collections.abc import Iterable

from sluicegate.api.reasons import Reason
from sluicegate.core.objects import Manifest, is_true, name, uid
from sluicegate.core.problem import Problem


def is_over(job: Manifest) -> bool:
    """Whether the Job has come to an end, good or bad."""
    return is_true(job, "Failed") or is_true(job, "Complete")


def pods_of(job: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    owners = ((pod, pod["metadata"].get("ownerReferences") or ()) for pod in pods)
    return [pod for pod, references in owners if any(each["uid"] == uid(job) for each in references)]


def suspended(job: Manifest, reason: Reason) -> Problem | None:
    """Somebody holds the Job back. Whoever queues Jobs does so, and lets them go: it is not taken back."""
    if not is_true(job, "Suspended"):
        return None
    text = f"Job {name(job)} is suspended: resume it, or delete it to have another one made"
    return Problem(reason, text, stalled=False)
