"""How far a long task is: written by the worker that copies, read by whoever shows it."""

from __future__ import annotations

from collections.abc import Callable


def _unobserved(_: Progress) -> None:
    return None


class Progress:
    """Phase and bytes of the task under way.

    One worker writes and any number of readers look: each field is one assignment, so no lock is needed.
    """

    def __init__(self, on_change: Callable[[Progress], None] = _unobserved) -> None:
        self.phase = "Pending"
        self.bytes_done = 0
        self.bytes_total = 0
        self._on_change = on_change

    def begin(self, phase: str, bytes_total: int) -> None:
        """Enter a phase that will move `bytes_total` bytes."""
        self.phase, self.bytes_done, self.bytes_total = phase, 0, bytes_total
        self._on_change(self)

    def advance(self, count: int) -> None:
        """Count bytes moved; a download that starts a file again counts backwards."""
        self.bytes_done = max(0, self.bytes_done + count)
        self._on_change(self)
