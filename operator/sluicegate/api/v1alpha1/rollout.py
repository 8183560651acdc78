"""How a new version or new engine settings take over."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sluicegate.api.meta import Change, Model
from sluicegate.api.v1alpha1.verification import Verification


class Promotion(StrEnum):
    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Rollout(Model):
    """How a new version or new engine settings take over."""

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
