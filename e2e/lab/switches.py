"""When the Service moved from one colour to the next, told by the notes on the Service itself."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from e2e.lab.watcher import Sighting
from sluicegate.core import naming

PROPAGATION_SECONDS = 2.0
"""After a colour has left the Service, kube-proxy may send it new connections for another second. The
operator gives it two before Cutover ends."""

ENGINE_ENDS = ("Killing", "spec.containers{engine}")
"""Reason and field of the kubelet's event."""


@dataclass(frozen=True)
class Switch:
    """One Cutover, in monotonic seconds: when the new colour was added, and when the old one was removed.

    Each is the moment of the decision, a little before the write itself.
    """

    added: float
    removed: float
    rollout: str

    @property
    def ended(self) -> float:
        return self.removed + PROPAGATION_SECONDS


@dataclass(frozen=True)
class Colour:
    """When the first pod of a colour was told to end, when the kubelet had said so to the engine of the last
    one, and when that was gone; infinity where none was."""

    told: float = math.inf
    heard: float = math.inf
    gone: float = math.inf


def switches(services: Iterable[Sighting]) -> list[Switch]:
    """The switches that the sightings of a Service tell of, oldest first.

    A new colour that is not ready for a moment is taken out again, and is added once more when it is: that is
    one switch, from the first time on.
    """
    found: list[Switch] = []
    added, serving = math.nan, ""
    for exposes, since in dict.fromkeys(_note(each) for each in services):
        if exposes == naming.EVERY_ROLLOUT:
            added = _monotonic(since) if math.isnan(added) else added
        elif exposes != serving:
            if serving:
                found.append(Switch(added, _monotonic(since), exposes))
            added, serving = math.nan, exposes
    return found


def colours(pods: Iterable[Sighting], events: Iterable[Sighting] = ()) -> dict[str, Colour]:
    """What sightings of pods, and of the kubelet's events of them, tell of their colours, by rollout."""
    found: dict[str, Colour] = {}
    rollouts: dict[str, str] = {}
    for sighting in pods:
        metadata = sighting.object["metadata"]
        rollout = rollouts[metadata["name"]] = metadata["labels"][naming.ROLLOUT]
        colour = found.get(rollout, Colour())
        if "deletionTimestamp" in metadata:
            colour = replace(colour, told=min(colour.told, sighting.at))
        if sighting.type == "DELETED":
            colour = replace(colour, gone=sighting.at)
        found[rollout] = colour
    for sighting in events:
        subject = sighting.object["regarding"]
        rollout = rollouts.get(subject.get("name", ""))
        if rollout and (sighting.object.get("reason"), subject.get("fieldPath")) == ENGINE_ENDS:
            found[rollout] = replace(found[rollout], heard=sighting.at)
    return found


def _note(sighting: Sighting) -> tuple[str, str]:
    notes = sighting.object["metadata"]["annotations"]
    return notes[naming.EXPOSES], notes[naming.EXPOSED_SINCE]


def _monotonic(moment: str) -> float:
    """Of a time of day on this machine's clock."""
    return time.monotonic() - (time.time() - datetime.fromisoformat(moment).timestamp())
