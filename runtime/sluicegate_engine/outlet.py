"""The container's log, as far as the engine is concerned: it may stand still, the engine may not.

Each request leaves a line, so a node that takes no more of the log (its runtime restarts, its disk is full)
would within seconds hold up whoever writes to it: first the supervisor and its probes, then vLLM.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

_AT_A_TIME = select.PIPE_BUF
"""A pipe that can be written to takes this much without waiting."""


class Outlet:
    """Writes to a descriptor what it takes at once, and says in its place how much it did not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lost = 0

    def write(self, chunk: bytes) -> None:
        """Never waits, never raises."""
        if self._lost and self._takes():
            notice = f"\n[sluicegate-engine: {self._lost} bytes of the log were lost here]\n"
            self._lost = 0
            self._put(notice.encode())
        for place in range(0, len(chunk), _AT_A_TIME):
            if self._lost or not self._takes():
                self._lost += len(chunk) - place
                return
            self._put(chunk[place : place + _AT_A_TIME])

    def _takes(self) -> bool:
        return bool(self._poll.poll(0))

    def _put(self, part: bytes) -> None:
        # Whoever reads our log may be gone for good.
        with suppress(OSError):
            os.write(self._descriptor, part)
