"""How the target gets on: what keeps it from serving, and how long it may take."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.core import capacity, rollout, swap
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import timestamp
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.problem import Problem
from sluicegate.core.world import World


def trouble(known: World, target: Colour) -> Problem | None:
    """What is in the way of a target whose pods are made, most telling first; None where only time is."""
    if known.deployment.spec.replicas == 0:
        return None
    found = diagnose(target.replica_set, target.pods)
    if found and found.reason is Reason.UNSCHEDULABLE and _room_is_due(known):
        # The step tells who makes it, and who lets them.
        return None
    if found and capacity.waits(known, target):
        return capacity.shortage(known, target, found)
    if not found and (waits := rollout.in_the_way(known, target)):
        return waits
    limit = deadline(known, target)
    found = found or (rollout.unanswered(known, target) if target.ready_pods else None)
    found = found or rollout.unverified(known, target)
    late = limit is not None and known.now >= limit and known.exposure.rollout != target.id
    # Whoever was away while the pods became ready has yet to hear them.
    if not late or (found is None and rollout.enough_pods(known, target)):
        return found
    return replace(found, final=True) if found and found.stalled else too_late(known, target, found)


def too_late(known: World, target: Colour, found: Problem | None) -> Problem:
    words = f": {found.reason}: {found.message}" if found else ""
    seconds = known.deployment.spec.rollout.progress_deadline_seconds
    text = f"{target.version} is not ready within rollout.progressDeadlineSeconds ({seconds}){words}"
    return Problem(Reason.PROGRESS_DEADLINE_EXCEEDED, text, final=True)


def _room_is_due(known: World) -> bool:
    step = rollout.step(known)
    return step is Step.SWAPPING or (step in rollout.HELD and swap.due(known))


def deadline(known: World, target: Colour) -> datetime | None:
    """When the target's pods have to be ready; None while somebody or room is waited for.

    Counted from their ReplicaSet's creation, or from the Service's last move: a colour that is gone back to
    while its pods drain is an old one. After a wait it is counted anew.
    """
    if rollout.step(known) in rollout.UNCOUNTED:
        return None
    made = target.replica_set or target.revision
    created = made["metadata"].get("creationTimestamp") if made else None
    moments = (created, known.exposure.since, resumed_at(known, target))
    start = max(datetime.fromisoformat(each) for each in moments if each)
    return start + timedelta(seconds=known.deployment.spec.rollout.progress_deadline_seconds)


def resumed_at(known: World, target: Colour) -> str | None:
    """When a wait for somebody or room ended, as the status tells: one that was over unseen is not known."""
    before = known.deployment.status.rollout
    if before is None or before.id != target.id:
        return None
    over = before.step in rollout.UNCOUNTED and rollout.step(known) not in rollout.UNCOUNTED
    return timestamp(known.now) if over else before.resumed_at
