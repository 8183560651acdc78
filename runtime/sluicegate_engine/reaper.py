"""PID 1's duty to collect every process that ends, its own children and the orphans handed to it."""

from __future__ import annotations

import asyncio
import os
import signal


class Reaper:
    """Collects ended processes as SIGCHLD tells of them. No other code may wait for a child."""

    def __init__(self) -> None:
        self._awaited: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.collect)

    def adopt(self, pid: int) -> asyncio.Future[int]:
        """The exit status of a child of ours: its code, or the negative number of the signal it died of."""
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._awaited[pid] = ended
        self.collect()
        return ended

    def collect(self) -> None:
        """Collect all that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._awaited.pop(pid, None)
            if ended is not None and not ended.done():
                ended.set_result(os.waitstatus_to_exitcode(status))
