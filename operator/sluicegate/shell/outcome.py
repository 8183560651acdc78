"""How a pass over one custom resource ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluicegate.core.plan import Action
from sluicegate.kube.errors import ApiError


@dataclass(frozen=True)
class Done:
    """Everything that is to be done now was done."""

    generation: int
    actions: tuple[Action, ...]
    requeue_after: timedelta | None


@dataclass(frozen=True)
class Failed:
    """An action failed; what came before it stays."""

    generation: int
    actions: tuple[Action, ...]
    error: ApiError


@dataclass(frozen=True)
class Behind:
    """The caches of these kinds miss our own last writes: too early to decide."""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Gone:
    """There is no such custom resource."""


@dataclass(frozen=True)
class Disabled:
    """An annotation tells us to leave it alone."""


Outcome = Done | Failed | Behind | Gone | Disabled
