"""How a new version or new engine settings take over."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sluicegate.api.meta import Change, Model, Rule
from sluicegate.api.v1alpha1.verification import Verification


class Promotion(StrEnum):
    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Strategy(StrEnum):
    BLUE_GREEN = "BlueGreen"
    SWAP = "Swap"
    HOT_RELOAD = "HotReload"


class Capacity(StrEnum):
    SURGE = "Surge"
    SURGE_THEN_SWAP = "SurgeThenSwap"
    WAIT = "Wait"


class Rollout(Model):
    """How a new version or new engine settings take over."""

    strategy: Annotated[Strategy, Change.OPERATOR] = Strategy.BLUE_GREEN
    """How the new version takes over. BlueGreen: the old pods serve until the new ones do. Swap, for want of
    room: the old ones go first, nobody answers meanwhile, and a person promotes before it begins. HotReload:
    another modelVersion comes into the running pods; what cannot comes by BlueGreen (rollout.notInPlace)."""
    capacity: Annotated[Capacity, Change.OPERATOR] = Capacity.SURGE
    """What becomes of new pods that no node has room for, with strategy BlueGreen. Surge: they are given up
    at the progress deadline. Wait: they wait for as long as it takes, and the deadline counts from then.
    SurgeThenSwap: when resources have been used up for 30 seconds the old pods make room, as with Swap."""
    drain_seconds: Annotated[int, Field(ge=5, le=3600), Change.TEMPLATE] = 60
    """Longest time that a replica finishes its requests in before it ends, in seconds."""
    progress_deadline_seconds: Annotated[int, Field(ge=60, le=86_400), Change.OPERATOR] = 1800
    """Time that new pods may take to become ready and answer, in seconds. After it they are given up and
    removed; where nothing else serves, they are called stalled and may go on."""
    history_limit: Annotated[int, Field(ge=0, le=50), Change.OPERATOR] = 10
    """Number of ended rollouts whose records are kept, besides that of the serving one and of a failed one
    that the spec still asks for."""
    promotion: Annotated[Promotion, Change.OPERATOR] = Promotion.AUTOMATIC
    """Who lets verified pods take over. Manual waits for a person (kubectl sluice rollout promote), but not
    with the first version, before which none was promoted. Loss of the serving pods skips no wait."""
    verification: Verification = Verification()
    """What a new version has to prove."""
    observe_seconds: Annotated[int, Field(ge=0, le=86_400), Change.OPERATOR] = 60
    """Time, in seconds, for which the old pods stay beside those that took over, to serve again at once where
    these fail or are worse. 60 is no longer than a drain, and what breaks under real load mostly does in its
    first minute; more time compares more requests. 0 promotes at once."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.strategy != 'Swap' || self.capacity == 'Surge'",
            message="with strategy Swap the old pods make room and capacity says nothing: leave it out",
            holds=lambda r: r.strategy is not Strategy.SWAP or r.capacity is Capacity.SURGE,
        ),
    )
