"""Capacity: new pods that no node has room for now, and what rollout.capacity makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.rollout import Capacity
from sluicegate.core.colours import Colour
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.objects import condition, is_true
from sluicegate.core.placement import allocatable
from sluicegate.core.problem import Problem
from sluicegate.core.template import accelerator_of
from sluicegate.core.world import World

PATIENCE = timedelta(seconds=30)
"""For how long SurgeThenSwap lets the scheduler find no room. What other pods leave that are ending anyhow is
free by then: 30 s is their usual grace period. A new node takes minutes; that is what Wait is for."""

_FULL = "Insufficient "
"""What the scheduler says before the name of a resource that is used up. Of another obstacle, such as a label
that no node has, there is no end in sight when old pods go."""


def waits(world: World, target: Colour) -> bool:
    """Whether it waits for room, and may do so for as long as it takes."""
    if world.deployment.spec.rollout.capacity is not Capacity.WAIT or world.promoted:
        return False
    found = diagnose(target.replica_set, target.pods)
    return found is not None and found.reason is Reason.UNSCHEDULABLE


def refused_since(colour: Colour) -> datetime | None:
    """Since when the scheduler finds no node for a pod of it, for want of something that other pods hold."""
    refusals = (condition(pod, "PodScheduled") or {} for pod in colour.lasting_pods)
    full = (each for each in refusals if each.get("status") == "False" and _FULL in each.get("message", ""))
    since = (each.get("lastTransitionTime") for each in full)
    return min((datetime.fromisoformat(each) for each in since if each), default=None)


def shortage(world: World, target: Colour, said: Problem) -> Problem:
    """What the scheduler said, with what is asked for and what there is."""
    spec = world.deployment.spec
    accelerator = accelerator_of(spec)
    if accelerator is None:
        return replace(said, message=f"{target.version} waits for a node with room: {said.message}")
    resource = accelerator.resource
    everywhere = sum(allocatable(node, resource) for node in world.seen.nodes)
    held = sum(is_true(pod, "PodScheduled") for pod in world.seen.pods)
    text = (
        f"{target.version} waits for room: it asks for {spec.replicas} x {accelerator.count} {resource}, the "
        f"nodes have {everywhere} in all, and {held} of this deployment's pods hold some already; the "
        f"scheduler says: {said.message}"
    )
    return Problem(Reason.INSUFFICIENT_ACCELERATORS, text, stalled=False)
