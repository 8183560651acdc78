"""Finds an engine that lives and does nothing: stopped, deadlocked, or with a server that answers nobody.

It looks from the supervisor's process, since whoever stands still cannot tell. All that follows from a stuck
engine is that the container ends. The kubelet starts it again, later from time to time, and that back-off is
the budget of restarts: an engine that sticks again and again is `CrashLoopBackOff` and not a loop of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from sluicegate_engine.answer import Outcome
from sluicegate_engine.fatal import FatalError
from sluicegate_engine.link import OrderFailedError, SupervisorLink
from sluicegate_engine.liveness import Liveness, Patience, Verdict
from sluicegate_engine.status import Status
from sluicegate_engine.work import WORK


class Watchdog:
    """`generate` asks the engine for a token, past the gate; `testify` has its processes say what they do."""

    def __init__(
        self,
        patience: Patience,
        status: Status,
        link: SupervisorLink,
        generate: Callable[[], Awaitable[None]],
        testify: Callable[[], Awaitable[str]],
    ) -> None:
        self._patience = patience
        self._status = status
        self._link = link
        self._generate = generate
        self._testify = testify

    async def run(self) -> NoReturn:
        """Watch until cancelled. Raises FatalError EngineStuck."""
        loop = asyncio.get_running_loop()
        liveness = Liveness(self._patience, loop.time())
        looking = asyncio.create_task(self._look(liveness))
        asking: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(self._patience.tick)
                if self._status.changes_weights:
                    liveness.moved()
                verdict = liveness.judge(loop.time(), first=self._in_flight > 0 and not self._served)
                if verdict is Verdict.STUCK:
                    raise await self._stuck(liveness.still)
                if verdict is Verdict.DOUBTFUL and (asking is None or asking.done()):
                    asking = asyncio.create_task(self._ask(liveness))
        finally:
            looking.cancel()
            if asking is not None:
                asking.cancel()

    async def _look(self, liveness: Liveness) -> None:
        """Each look takes as long as it takes: an overloaded server answers late, a stopped one never."""
        while True:
            with suppress(OrderFailedError):
                liveness.take(tuple(await self._link.order(WORK, {})))
            await asyncio.sleep(self._patience.tick)

    async def _ask(self, liveness: Liveness) -> None:
        with suppress(FatalError):
            await self._generate()
            liveness.moved()

    @property
    def _in_flight(self) -> int:
        return self._link.report.in_flight if self._link.report else 0

    @property
    def _served(self) -> int:
        return self._link.report.outcomes.get(Outcome.SERVED, 0) if self._link.report else 0

    async def _stuck(self, seconds: float) -> FatalError:
        return FatalError(
            "EngineStuck",
            f"no token and no step of a prefill for {seconds:.0f} s, with {self._in_flight} requests in "
            f"flight and one of our own; {await self._testify()}. Where a single step takes as long, lower "
            "--max-num-batched-tokens",
        )
