"""How far a reload is, as /status tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from sluicegate_engine.reload.order import Order


class ReloadPhase(StrEnum):
    """Where a reload stands."""

    PREFLIGHT = "Preflight"
    INGESTING = "Ingesting"
    STAGING = "Staging"
    STAGED = "Staged"
    HOLDING = "Holding"
    """New requests wait from here on."""
    QUIESCING = "Quiescing"
    COPYING = "Copying"
    CHECKING = "Checking"
    PROVING = "Proving"
    ROLLING_BACK = "RollingBack"
    ENDED = "Ended"


_HOLDING = frozenset(
    {
        ReloadPhase.HOLDING,
        ReloadPhase.QUIESCING,
        ReloadPhase.COPYING,
        ReloadPhase.CHECKING,
        ReloadPhase.PROVING,
        ReloadPhase.ROLLING_BACK,
    }
)


class ReloadOutcome(StrEnum):
    """How a reload ended."""

    STAGED = "Staged"
    COMMITTED = "Committed"
    REFUSED = "Refused"
    ROLLED_BACK = "RolledBack"
    CANCELLED = "Cancelled"


class ReloadProgress:
    """One reload. `clock` gives the time of day for people; durations are monotonic.

    `timeline` has name, beginning and end of each phase that is over.
    """

    def __init__(self, order: Order, clock: Callable[[], datetime]) -> None:
        self.order = order
        self.phase = ReloadPhase.PREFLIGHT
        self.outcome: ReloadOutcome | None = None
        self.reason = ""
        self.message = ""
        self.seconds: dict[str, float] = {}
        self.timeline: list[tuple[str, datetime, datetime]] = []
        self._clock = clock
        self.since = clock()
        self._began = time.monotonic()

    @property
    def ended(self) -> bool:
        return self.outcome is not None

    @property
    def holds(self) -> bool:
        """True while new requests wait."""
        return self.phase in _HOLDING

    def enter(self, phase: ReloadPhase) -> None:
        """Go on to a phase; the time in the one before is counted."""
        now = time.monotonic()
        name = self.phase.value[0].lower() + self.phase.value[1:]
        self.seconds[name] = self.seconds.get(name, 0) + now - self._began
        began, self.since = self.since, self._clock()
        self.timeline.append((name, began, self.since))
        self.phase, self._began = phase, now

    def end(self, outcome: ReloadOutcome, reason: str = "", message: str = "") -> None:
        self.enter(ReloadPhase.STAGED if outcome is ReloadOutcome.STAGED else ReloadPhase.ENDED)
        self.outcome, self.reason, self.message = outcome, reason, message

    def describe(self) -> dict[str, object]:
        order = self.order
        return {
            "version": order.target.version,
            "digest": order.target.digest,
            "sequence": order.sequence,
            "mode": order.mode.value,
            "phase": self.phase.value,
            "outcome": self.outcome.value if self.outcome else None,
            "reason": self.reason,
            "message": self.message,
            "since": self.since.isoformat(timespec="milliseconds"),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        }
