"""The operator's life inside a process: what runs beside what, what comes last, and what ends first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from sluicegate.kube.errors import NotFound
from sluicegate.shell.operator import Operator

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Feeds the operator's intake with the custom resources."""

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Runs until `stop`; an earlier end, or an error, ends the process. Calls `started` once it runs."""
        ...


class Process:
    """An operator with the watcher of its custom resources. Set `stop` to end it in order."""

    def __init__(self, operator: Operator, watcher: Watcher, started: Callable[[], None]) -> None:
        self._operator = operator
        self._watcher = watcher
        self._started = started
        self._watcher_stop = asyncio.Event()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Runs until `stop`; raises LeadershipLost, or what ended the watcher, in groups."""
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._operator.feed())
            working = group.create_task(self._operator.work())
            watching = group.create_task(self._watch())
            await self.stop.wait()
            logger.info("stopping")
            await _cancelled(working)
            await self._operator.stop()
            self._watcher_stop.set()
            await asyncio.wait([watching])
            await _cancelled(feeding)

    async def _watch(self) -> None:
        """Watch, last of all: at its end kopf cancels every task that is younger than itself."""
        try:
            await self._operator.resync.once()
        except NotFound as missing:
            # kopf looks for the kinds once, and would watch nothing for ever.
            raise RuntimeError(f"install the CRDs first, see `sluicegate crds`: {missing}") from missing
        stopped = asyncio.create_task(self._watcher_stop.wait())
        synced = asyncio.create_task(self._operator.view.synced())
        await asyncio.wait([stopped, synced], return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(stopped, synced)
        if self._watcher_stop.is_set():
            return
        await self._watcher.run(self._watcher_stop, started=self._started)
        if not self._watcher_stop.is_set():
            raise RuntimeError("kopf ended by itself: custom resources are not watched any more")


async def _cancelled(*tasks: asyncio.Task[object]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
