"""Swap: where there is no room for the pods of two versions, the old ones go before the new ones come.

Before the first pod goes, the record of the new colour says so, until it is promoted or gone: an operator
that comes later goes on with it. Whether there is room by now is read from the pods themselves, not from a
number of replicas: one that is ending still holds its accelerators.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.api.v1alpha1.rollout import Capacity, Strategy
from sluicegate.core import capacity
from sluicegate.core.colours import Colour
from sluicegate.core.objects import overdue, until_overdue
from sluicegate.core.world import World


def due(world: World) -> bool:
    """Whether the target can only come in the place of the pods that serve."""
    target, spec = world.target, world.deployment.spec
    if target is None or target.revision is None or world.promoted:
        return False
    if world.serving is None or world.previous is not None or len(target.ready_pods) >= spec.replicas:
        return False
    if spec.rollout.strategy is Strategy.SWAP:
        return True
    since = capacity.refused_since(target)
    tried = since is not None and world.now - since >= capacity.PATIENCE
    return tried and spec.rollout.capacity is Capacity.SURGE_THEN_SWAP


def noted(world: World, colour: Colour) -> bool:
    """Whether its record has to say that it swaps."""
    whole = colour.replica_set is not None and colour.pointer is not None
    if whole and colour is world.target and due(world) and not (world.paused or world.awaits_promotion):
        return True
    ending = world.ending(colour)
    stays = ending is not None and ending.outcome is Outcome.PROMOTED and colour is world.serving
    return colour.record.swaps and not stays


def heir(world: World) -> Colour | None:
    """The only colour that may have pods; None where no swap is under way."""
    swapping = [each for each in world.colours.values() if noted(world, each)]
    if any(each is world.target for each in swapping):
        return world.target
    gone = {each.id for each in world.retired if not _holds(world, each)}
    if all(each.id in gone for each in swapping):
        return None
    return world.observed or world.previous or world.serving


def makes_room(world: World) -> bool:
    """Whether the target's pods wait for others to go."""
    target = world.target
    return target is not None and heir(world) is target and not _has_room(world, target)


def shrinks(world: World) -> bool:
    """Whether pods that are kept so far go now."""
    only = heir(world)
    return only is not None and any(each is not only and _wanted(each) for each in world.kept)


def replicas(world: World, colour: Colour) -> int:
    """How many pods a colour that is kept shall have."""
    only, wanted = heir(world), world.deployment.spec.replicas
    if only is not None and colour is not only:
        return 0
    if only is not None:
        waits = not _has_room(world, colour)
    elif colour is world.target:
        waits = due(world)
    else:
        # Of those that only stay in case they have to serve again, or are about to go, none is added.
        stays = colour is world.previous and not world.exposure.overlap
        waits = (stays and colour.replica_set is not None) or (_swaps(world) and world.coming is not None)
    return min(wanted, _wanted(colour)) if waits else wanted


def at_first(world: World) -> int:
    """How many pods a new colour is made with."""
    return 0 if _swaps(world) and world.serving is not None else world.deployment.spec.replicas


def moments(world: World) -> Iterator[timedelta]:
    """In how much time the scheduler has said no for long enough, or pods that make room are overdue."""
    target, rollout = world.target, world.deployment.spec.rollout
    since = capacity.refused_since(target) if target is not None and not world.promoted else None
    if since is not None and rollout.capacity is Capacity.SURGE_THEN_SWAP:
        yield since + capacity.PATIENCE - world.now
    only = heir(world)
    for colour in world.colours.values() if only is not None else ():
        if colour is not only:
            yield from until_overdue(colour.pods, world.now)


def _swaps(world: World) -> bool:
    return world.deployment.spec.rollout.strategy is Strategy.SWAP


def _has_room(world: World, colour: Colour) -> bool:
    return not any(_holds(world, each) for each in world.colours.values() if each is not colour)


def _holds(world: World, colour: Colour) -> bool:
    """Whether it has pods or will have some. Of a node that does not answer any more, no end is awaited, and
    of pods that were given a label by hand neither."""
    going = any(not overdue(pod, world.now) for pod in colour.pods)
    return bool(colour.objects) and (going or _wanted(colour) > 0)


def _wanted(colour: Colour) -> int:
    return int(colour.replica_set["spec"].get("replicas", 1)) if colour.replica_set is not None else 0
