"""Where this pod stands, in one place that every port reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from sluicegate_engine.pointer import Target
from sluicegate_engine.reload.progress import ReloadProgress


class Phase(StrEnum):
    STARTING = "Starting"
    """The pointer is read and the engine's process started."""
    LOADING = "Loading"
    """The engine's process loads the weights; nothing answers on the serving port."""
    WARMING = "Warming"
    """The engine answers us alone."""
    SERVING = "Serving"
    DRAINING = "Draining"
    FAILED = "Failed"


class Status:
    """The phase, since when, and why.

    `target` is None until the pointer is read, and `vllm`, the engine's version, until it has answered.
    `sequence` is that of the reload which `target` came by, 0 where it came by none; `reload` the last reload
    here. `held_too_long`: a reload has held new requests for longer than it may.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.target: Target | None = None
        self.sequence = 0
        self.reload: ReloadProgress | None = None
        self.held_too_long = False
        self.vllm: str | None = None
        self.phase = Phase.STARTING
        self.reason = Phase.STARTING.value
        self.message = ""
        self.since = clock()

    @property
    def ready(self) -> bool:
        """True while new requests are welcome."""
        return self.phase is Phase.SERVING and not self.held_too_long

    @property
    def reloads(self) -> bool:
        """True while a reload is under way."""
        return self.reload is not None and not self.reload.ended

    @property
    def changes_weights(self) -> bool:
        """True while a reload lets nobody into the engine, or is about to."""
        return self.reload is not None and self.reload.holds

    @property
    def committed(self) -> tuple[int, str]:
        """Sequence and digest of what is served."""
        return self.sequence, self.target.digest if self.target else ""

    def enter(self, phase: Phase, message: str = "", reason: str = "") -> None:
        self.phase, self.message, self.reason = phase, message, reason or phase.value
        self.since = self.clock()
