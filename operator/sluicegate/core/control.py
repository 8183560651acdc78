"""What pods say at their control ports, and what they are told there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sluicegate.core import in_place
from sluicegate.core.addresses import pod_url
from sluicegate.core.children import control_token
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import Manifest, condition, name, uid
from sluicegate.core.observed import RuntimeStatus
from sluicegate.core.plan import CancelReload, Inquire, Mode, Reload
from sluicegate.core.template import CONTROL_PORT
from sluicegate.core.world import World

RETRY = timedelta(seconds=0.5)


def heard(world: World, pod: Manifest) -> RuntimeStatus | None:
    """What a ready pod said last, if it said something since it became ready."""
    found = world.seen.runtimes.get(uid(pod))
    since = str((condition(pod, "Ready") or {}).get("lastTransitionTime", ""))
    if found is None or found.error is not None or not came_after(found.at, since, world.now):
        return None
    return found


def came_after(at: datetime, since: str, now: datetime) -> bool:
    """Whether it was asked for after a moment, which lies ahead where a clock was set back after it."""
    set_back = timestamp(now) < since and at <= now
    return set_back or timestamp(at) > since


def due(world: World, pod: Manifest, every: timedelta = RETRY) -> bool:
    """Whether the pod may be asked again."""
    found = world.seen.runtimes.get(uid(pod))
    return found is None or not recent(found.at, world.now, every)


def recent(at: datetime, now: datetime, every: timedelta = RETRY) -> bool:
    """Whether an answer is too new to ask again.

    What is still to come was heard before a clock was set back.
    """
    return timedelta(0) <= now - at < every


def serves(status: RuntimeStatus, colour: Colour) -> bool:
    """Whether a pod serves what the colour's record names."""
    return (status.version, status.digest) == (colour.version, colour.digest)


def inquire(world: World, pod: Manifest, reason: str) -> Iterator[Inquire]:
    """Ask the pod for its status, if it has an address."""
    if url := pod_url(pod, CONTROL_PORT):
        yield Inquire(name(pod), uid(pod), url, _token(world), reason)


def listen(world: World, pod: Manifest, every: timedelta = RETRY) -> Iterator[Inquire]:
    """Ask a pod what it serves while that changes, as often as that."""
    if due(world, pod, every):
        yield from inquire(world, pod, "what it serves changes")


def change(
    world: World, pod: Manifest, wanted: Colour, mode: Mode, golden: tuple[dict[str, Any], ...], reason: str
) -> Iterator[Reload]:
    """Have the pod stage what the colour's record names, or change to it."""
    pointer, url = wanted.record.pointer, pod_url(pod, CONTROL_PORT)
    if url is None:
        return
    body = {
        "version": wanted.version,
        "digest": wanted.digest,
        "sequence": number(world, pod, wanted),
        "source": pointer.get("source", {}),
        "mode": mode,
        **({"golden": list(golden)} if golden else {}),
    }
    yield Reload(name(pod), uid(pod), url, _token(world), body, reason)


def number(world: World, pod: Manifest, wanted: Colour) -> int:
    """The sequence of a change: the same each time that it is asked for, and greater than the pod's last."""
    first = (
        in_place.sequence_of(wanted) if wanted.record.in_place else in_place.sequence(wanted.record.content)
    )
    found = heard(world, pod)
    return max(first, 1 + (found.sequence or 0 if found else 0))


def cancel(world: World, pod: Manifest, reason: str) -> Iterator[CancelReload]:
    """Have the pod give up what it has not changed to yet."""
    if url := pod_url(pod, CONTROL_PORT):
        yield CancelReload(name(pod), uid(pod), url, _token(world), reason)


def _token(world: World) -> str:
    return control_token(world.seen.defaults.token_key, world.deployment.metadata.uid)
