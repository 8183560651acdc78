"""SIGSTOP in virtual time: while a process's gate is shut none of its code runs, and the clocks go on.

And the other way round: code that runs on and on while no time passes is found out.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

_MICROSECONDS = 1_000_000
MOST_TURNS = 100_000
"""Of the event loop in one moment. A thousand deployments at once were seen to take fewer than 2,000."""


class Livelock(BaseException):
    """Something does not wait for anything: in virtual time it would go on for ever. Nobody may catch it."""


class Gate:
    """What every step of a process has to pass. What comes meanwhile happens in order when it opens."""

    def __init__(self) -> None:
        self._opened: asyncio.Future[None] | None = None

    @property
    def is_shut(self) -> bool:
        return self._opened is not None

    def shut(self) -> None:
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.set_result(None)

    async def passed(self) -> None:
        """Wait, as something that is not the process's own."""
        if self._opened is not None:
            await asyncio.shield(self._opened)

    def later(self, callback: Callable[..., object], arguments: tuple[Any, ...], context: Context) -> None:
        """Have something done in this context when it opens."""
        if self._opened is not None:
            self._opened.add_done_callback(lambda _: callback(*arguments), context=context)

    def context(self) -> Context:
        """In which a process has to be started for all of it to pass here."""
        inside = copy_context()
        inside.run(_GATE.set, self)
        return inside


class Loop(asyncio.SelectorEventLoop):
    """An event loop in virtual time that knows of gates.

    When there is nothing left to run, time jumps to the next timer. Behind a shut gate timers go off all the
    same: what they wake up does not run. Raises Livelock where a moment has no end, or time none.
    """

    def __init__(self, start: float = 0.0) -> None:
        # In microseconds: sums of fractions of seconds would come to times that are almost the same.
        self._now = round(start * _MICROSECONDS)
        self._turns = 0
        super().__init__(_Jump(self._jump))

    def time(self) -> float:
        return self._now / _MICROSECONDS

    def _jump(self, seconds: float | None) -> None:
        """Asked at each turn how long to wait: None where nothing is due ever, 0 where something can run."""
        if seconds is None:
            raise Livelock("nothing runs, and nothing is due ever")
        if seconds > 0:
            self._now += math.ceil(round(seconds * _MICROSECONDS, 3))
            self._turns = 0
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._turns = 0
            raise Livelock(f"{MOST_TURNS} turns of the event loop and no time has passed")

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        gate = _GATE.get() if context is None else context.get(_GATE)
        if gate is None or not gate.is_shut:
            return super().call_soon(callback, *args, context=context)
        gate.later(callback, args, context or copy_context())
        return asyncio.Handle(callback, args, self, context)


class _Jump(selectors.BaseSelector):
    """Stands where an event loop waits for files: here no file ever has news."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, fileobj, 0, None)

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {}

    def close(self) -> None:
        """It holds nothing."""


_GATE: ContextVar[Gate | None] = ContextVar("gate", default=None)
