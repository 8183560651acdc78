"""How an operator reaches model pods and webhooks: orders are counted, and fail where the script says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TypeVar

from tests.sim import faults
from tests.sim.clock import now
from tests.sim.faults import Channel
from tests.sim.wire import FLIGHT, FOREVER, Order, Wire
from tests.sim.world import UNREACHABLE, World

from sluicegate.core.plan import Ask, CancelReload, Consult, Inquire, Reload, Score
from sluicegate.shell.pods import NoAnswer, Report, Scored
from sluicegate.shell.webhooks import Said

NEVER_SENT = (faults.BEFORE, faults.RESET, faults.TIMEOUT)

Ordered = TypeVar("Ordered", Reload, CancelReload)


class Reach:
    """The way of the process that has this wire. Questions change nothing: they go straight to the world."""

    def __init__(self, world: World, wire: Wire) -> None:
        self._world = world
        self._wire = wire

    async def generate(self, ask: Ask) -> str:
        return await self._world.generate(ask)

    async def score(self, score: Score) -> Scored:
        return await self._world.score(score)

    async def consult(self, consult: Consult) -> Said:
        return await self._world.consult(consult)

    async def report(self, inquire: Inquire) -> Report:
        return await self._world.report(inquire)

    async def reload(self, reload: Reload) -> Report:
        return await self._send(reload, f"{reload.body['mode']} {reload.body['version']}", self._world.reload)

    async def cancel(self, cancel: CancelReload) -> Report:
        return await self._send(cancel, "cancel", self._world.cancel)

    async def _send(self, order: Ordered, text: str, carry: Callable[[Ordered], Awaitable[Report]]) -> Report:
        """Raises NoAnswer."""
        wire = self._wire
        if wire.severed:
            await asyncio.sleep(FOREVER)
        number, what = wire.script.next(Channel.ORDER)
        wire.journal.orders.append(Order(number, wire.sender, now(), order.pod, text, what or "sent"))
        # What was sent is on its way whatever becomes of its sender.
        flight = asyncio.create_task(self._carried(order, what, carry), name=FLIGHT, context=Context())
        flight.add_done_callback(_noticed)
        try:
            return await asyncio.shield(flight)
        except ConnectionError:
            raise NoAnswer(UNREACHABLE) from None

    async def _carried(
        self, order: Ordered, what: str | None, carry: Callable[[Ordered], Awaitable[Report]]
    ) -> Report:
        if what in NEVER_SENT:
            await self._wire.fail(what)
        report = await carry(order)
        if what is not None:
            await self._wire.fail(what)
        return report


def _noticed(flight: asyncio.Task[Report]) -> None:
    """How it ended is nobody's concern where its sender is gone."""
    if not flight.cancelled():
        flight.exception()
