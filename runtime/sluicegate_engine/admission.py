"""The queue in front of the engine: who may start now, who waits, who is turned away.

It lives outside vLLM so that "nothing is in flight" is a fact of ours and not a guess about the engine's
scheduler. Pure: no clock, no I/O, no ASGI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


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


class Verdict(StrEnum):
    """Where a request stands."""

    ADMITTED = "Admitted"
    QUEUED = "Queued"
    FULL = "Full"
    UNAVAILABLE = "Unavailable"
    LEFT = "Left"


@dataclass(eq=False)
class Ticket:
    """One request's place. `wake` is called once when a queued ticket gets another verdict.

    `sequences` is what the request has the engine compute at a time.
    """

    verdict: Verdict
    sequences: int
    wake: Callable[[], None]


class Queue:
    """First come, first served: at most `max_concurrent` sequences run and `max_queued` requests wait.

    A request of many sequences waits until there is room for all, and those behind it with it.
    """

    def __init__(self, max_concurrent: int, max_queued: int) -> None:
        self._max_concurrent = max_concurrent
        self._max_queued = max_queued
        self._admission = Admission.CLOSED
        self._in_flight = 0
        self._sequences = 0
        self._waiting: dict[Ticket, None] = {}

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
        return len(self._waiting)

    def offer(self, wake: Callable[[], None], sequences: int = 1) -> Ticket:
        """Take a new request in: its ticket says Admitted, Queued, Full or Unavailable.

        Whatever it says, `leave` must follow. `sequences` may not be more than `max_concurrent`.
        """
        ticket = Ticket(self.judge(sequences), sequences, wake)
        if ticket.verdict is Verdict.ADMITTED:
            self._start(ticket)
        elif ticket.verdict is Verdict.QUEUED:
            self._waiting[ticket] = None
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place back, in the engine or in the queue. A second call does nothing."""
        if ticket.verdict is Verdict.ADMITTED:
            self._in_flight -= 1
            self._sequences -= ticket.sequences
        self._waiting.pop(ticket, None)
        ticket.verdict = Verdict.LEFT
        self._admit_next()

    def switch(self, admission: Admission) -> None:
        """Change what happens to new requests. Closed also turns away those that wait."""
        self._admission = admission
        if admission is Admission.CLOSED:
            self._turn_away_waiting()
        self._admit_next()

    def judge(self, sequences: int = 1) -> Verdict:
        """What a request would be told now."""
        if self._admission in (Admission.CLOSED, Admission.REFUSING):
            return Verdict.UNAVAILABLE
        holding = self._admission is Admission.HOLDING
        if not holding and not self._waiting and self._has_room(sequences):
            return Verdict.ADMITTED
        if len(self._waiting) < self._max_queued:
            return Verdict.QUEUED
        return Verdict.UNAVAILABLE if holding else Verdict.FULL

    def _admit_next(self) -> None:
        if self._admission is Admission.HOLDING:
            return
        while self._waiting and self._has_room(next(iter(self._waiting)).sequences):
            ticket = self._pop_first(Verdict.ADMITTED)
            self._start(ticket)
            ticket.wake()

    def _has_room(self, sequences: int) -> bool:
        return self._sequences + sequences <= self._max_concurrent

    def _start(self, ticket: Ticket) -> None:
        self._in_flight += 1
        self._sequences += ticket.sequences

    def _turn_away_waiting(self) -> None:
        while self._waiting:
            self._pop_first(Verdict.UNAVAILABLE).wake()

    def _pop_first(self, verdict: Verdict) -> Ticket:
        ticket = next(iter(self._waiting))
        del self._waiting[ticket]
        ticket.verdict = verdict
        return ticket
