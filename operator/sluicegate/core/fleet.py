"""The fleet: the ready pods that a version comes into, and where each of them stands with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sluicegate.core import control, in_place
from sluicegate.core.colours import Colour
from sluicegate.core.objects import Manifest, name
from sluicegate.core.plan import Mode
from sluicegate.core.world import Change, World


class Standing(Enum):
    """Where a ready pod stands with a rollout into it."""

    UNHEARD = auto()
    OCCUPIED = auto()
    """It is at something else, or holds memory for it."""
    OLD = auto()
    STAGING = auto()
    STAGED = auto()
    SWITCHING = auto()
    NEW = auto()


@dataclass(frozen=True)
class Fleet:
    """The ready pods of the colour that changes, by where they stand, each kind in the order of names."""

    pods: tuple[tuple[Manifest, Standing], ...]
    enough: bool
    """Whether there are as many as are wanted."""

    def at(self, *standings: Standing) -> list[Manifest]:
        return [pod for pod, standing in self.pods if standing in standings]

    @property
    def begun(self) -> bool:
        """Whether a pod has begun to change."""
        return bool(self.at(Standing.SWITCHING, Standing.NEW))

    @property
    def staged(self) -> bool:
        """Whether every pod has changed or could change at once."""
        return self.enough and len(self.at(Standing.STAGED, Standing.NEW)) == len(self.pods)

    @property
    def changed(self) -> bool:
        return self.enough and len(self.at(Standing.NEW)) == len(self.pods)


def fleet(known: World, change: Change) -> Fleet:
    ready = sorted(change.host.ready_pods, key=name)
    pods = tuple((pod, _standing(known, pod, change.reload)) for pod in ready)
    return Fleet(pods, bool(pods) and len(pods) >= known.deployment.spec.replicas)


def _standing(known: World, pod: Manifest, reload: Colour) -> Standing:
    heard = control.heard(known, pod)
    if heard is None:
        return Standing.UNHEARD
    told = heard.reload if heard.reload and heard.reload.lives else None
    if told is not None and not in_place.concerns(told, reload):
        return Standing.OCCUPIED
    if control.serves(heard, reload):
        return Standing.NEW
    if told is None:
        return Standing.OLD
    if told.outcome is not None:
        return Standing.STAGED
    return Standing.SWITCHING if told.mode == Mode.SWITCH else Standing.STAGING
