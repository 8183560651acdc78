"""The queue in front of the engine: who may start now, who waits, who is turned away.

It lives outside vLLM so that "nothing is in flight" is a fact of ours and not a guess about the engine's
scheduler. Pure: no I/O, no ASGI, and no clock but the one that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from sluicegate_engine.demand import Demand
from sluicegate_engine.drain import Drain
from sluicegate_engine.priority import Priority
from sluicegate_engine.ticket import Ticket, Verdict
from sluicegate_engine.waiting import Bounds, WaitingRoom


class Admission(StrEnum):
    """What the gate does with a new request."""

    CLOSED = "Closed"
    """Nobody passes, and those that wait are turned away."""
    OPEN = "Open"
    """Requests pass in their order."""
    HOLDING = "Holding"
    """Requests wait, as many as the queue holds, and none passes. Those that have passed go on."""
    DRAINING = "Draining"
    """As Open, and every answer asks its client to connect elsewhere."""
    REFUSING = "Refusing"
    """New requests are turned away; those that wait are still served."""


_ONE = Demand()


class Queue:
    """At most `max_concurrent` sequences run, and as many requests wait as the bounds say.

    Within a class first come, first served; between classes as `WaitingRoom` says. A request of many
    sequences waits until there is room for all, and those behind it with it. `clock` gives nanoseconds that
    only grow.
    """

    def __init__(self, max_concurrent: int, bounds: Bounds, clock: Callable[[], int]) -> None:
        self._max_concurrent = max_concurrent
        self._admission = Admission.CLOSED
        self._in_flight = 0
        self._sequences = 0
        self._waiting = WaitingRoom(bounds)
        self._drain = Drain(clock)

    @property
    def admission(self) -> Admission:
        return self._admission

    @property
    def in_flight(self) -> int:
        """Number of requests that were admitted and have not left."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """Number of requests that wait for their turn."""
        return self._waiting.requests

    @property
    def queued_prompt_tokens(self) -> int:
        """Prompt tokens of the requests that wait, as estimated."""
        return self._waiting.prompt_tokens

    @property
    def retry_after(self) -> int:
        """Seconds after which somebody who found the queue full should come again."""
        return self._drain.retry_after(self._waiting.requests)

    def offer(
        self, wake: Callable[[], None], demand: Demand = _ONE, priority: Priority = Priority.STANDARD
    ) -> Ticket:
        """Take a new request in: its ticket says Admitted, Queued, Full or Unavailable.

        Whatever it says, `leave` must follow. No more sequences may be asked for than `max_concurrent`.
        """
        ticket = Ticket(self.judge(priority, demand), priority, demand, wake)
        if ticket.verdict is Verdict.ADMITTED:
            self._start(ticket)
        elif ticket.verdict is Verdict.QUEUED:
            self._let_wait(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place back, in the engine or in the queue. A second call does nothing."""
        if ticket.verdict is Verdict.ADMITTED:
            self._in_flight -= 1
            self._sequences -= ticket.demand.sequences
        elif ticket.verdict is Verdict.QUEUED:
            self._waiting.remove(ticket)
            self._drain.left()
        ticket.verdict = Verdict.LEFT
        self._admit_next()

    def switch(self, admission: Admission) -> None:
        """Change what happens to new requests. Closed also turns away those that wait."""
        self._admission = admission
        if admission is Admission.CLOSED:
            self._turn_away_waiting()
        self._admit_next()

    def judge(self, priority: Priority = Priority.STANDARD, demand: Demand = _ONE) -> Verdict:
        """What a request would be told now."""
        if self._admission in (Admission.CLOSED, Admission.REFUSING):
            return Verdict.UNAVAILABLE
        holding = self._admission is Admission.HOLDING
        if not holding and not self._waiting.requests and self._has_room(demand):
            return Verdict.ADMITTED
        return Verdict.QUEUED if self._waiting.takes(priority, demand.prompt_tokens) else self._full()

    def _full(self) -> Verdict:
        return Verdict.UNAVAILABLE if self._admission is Admission.HOLDING else Verdict.FULL

    def _let_wait(self, ticket: Ticket) -> None:
        if not self._waiting.requests:
            self._drain.begin()
        for displaced in self._waiting.add(ticket):
            _tell(displaced, self._full())
        # It may be this one's turn although another waits, for whom there is no room yet.
        self._admit_next()

    def _admit_next(self) -> None:
        if self._admission is Admission.HOLDING:
            return
        while (ticket := self._waiting.first()) is not None and self._has_room(ticket.demand):
            self._waiting.take_turn(ticket)
            self._drain.left()
            self._start(ticket)
            _tell(ticket, Verdict.ADMITTED)

    def _has_room(self, demand: Demand) -> bool:
        return self._sequences + demand.sequences <= self._max_concurrent

    def _start(self, ticket: Ticket) -> None:
        self._in_flight += 1
        self._sequences += ticket.demand.sequences

    def _turn_away_waiting(self) -> None:
        while (ticket := self._waiting.first()) is not None:
            self._waiting.remove(ticket)
            _tell(ticket, Verdict.UNAVAILABLE)


def _tell(ticket: Ticket, verdict: Verdict) -> None:
    ticket.verdict = verdict
    ticket.wake()
