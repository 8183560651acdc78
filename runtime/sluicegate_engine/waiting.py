"""Who waits, in a line for each class: whose turn it is, and who gives way where there are no more places.

Places are lent. A class takes as many as are free, and what it holds beyond its share goes back, the newest
first, when a class that has less than its share needs it: one class alone has the whole queue, and none can
keep another out. Turns are self-clocked fair queueing: a class has as many sequences as its weight says while
others wait too, saves none up while nobody of it waits, and waits the longer the more it asks for at a time.
Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sluicegate_engine.priority import TOTAL_WEIGHT, Priority
from sluicegate_engine.ticket import Ticket

_STRIDES = {each: math.lcm(*(p.weight for p in Priority)) // each.weight for each in Priority}
"""How much later each sequence makes a class have its turn."""


@dataclass(frozen=True)
class Bounds:
    """How many requests may wait, and how many prompt tokens they may have together: None for any number."""

    requests: int
    prompt_tokens: int | None = None

    def hold(self, requests: int, prompt_tokens: int) -> bool:
        enough = self.prompt_tokens is None or prompt_tokens <= self.prompt_tokens
        return enough and requests <= self.requests

    def share(self, priority: Priority) -> Bounds:
        """The part that a class can always have. The shares of all are together no more than the whole."""
        tokens = None if self.prompt_tokens is None else _part(self.prompt_tokens, priority)
        return Bounds(_part(self.requests, priority), tokens)


def _part(whole: int, priority: Priority) -> int:
    return whole * priority.weight // TOTAL_WEIGHT


class _Line:
    """Those of one class, the oldest first."""

    def __init__(self, share: Bounds) -> None:
        self.share = share
        self.tickets: dict[Ticket, None] = {}
        self.prompt_tokens = 0
        self.had_turn = 0

    @property
    def borrows(self) -> bool:
        return not self.share.hold(len(self.tickets), self.prompt_tokens)


class WaitingRoom:
    """`requests` wait, with `prompt_tokens`, and are never more than the bounds say."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lines = {priority: _Line(bounds.share(priority)) for priority in Priority}
        self._had_turn = 0
        self.requests = 0
        self.prompt_tokens = 0

    def takes(self, priority: Priority, prompt_tokens: int) -> bool:
        """Whether there is a place, free or lent to another class."""
        line = self._lines[priority]
        return self._has_free(prompt_tokens) or line.share.hold(
            len(line.tickets) + 1, line.prompt_tokens + prompt_tokens
        )

    def add(self, ticket: Ticket) -> list[Ticket]:
        """Let somebody wait whom it `takes`. Returns who had to go for it."""
        displaced = []
        while not self._has_free(ticket.demand.prompt_tokens):
            displaced.append(self._displace())
        line = self._lines[ticket.priority]
        if not line.tickets:
            line.had_turn = self._had_turn
        line.tickets[ticket] = None
        self._count(line, 1, ticket.demand.prompt_tokens)
        return displaced

    def first(self) -> Ticket | None:
        """Whose turn it is."""
        if not self.requests:
            return None
        heads = [next(iter(line.tickets)) for line in self._lines.values() if line.tickets]
        # of equals the first, which is of the higher class
        return min(heads, key=self._turn)

    def take_turn(self, ticket: Ticket) -> None:
        """The first is let in."""
        self._had_turn = self._lines[ticket.priority].had_turn = self._turn(ticket)
        self.remove(ticket)

    def remove(self, ticket: Ticket) -> None:
        line = self._lines[ticket.priority]
        del line.tickets[ticket]
        self._count(line, -1, -ticket.demand.prompt_tokens)

    def _turn(self, ticket: Ticket) -> int:
        return self._lines[ticket.priority].had_turn + _STRIDES[ticket.priority] * ticket.demand.sequences

    def _has_free(self, prompt_tokens: int) -> bool:
        return self._bounds.hold(self.requests + 1, self.prompt_tokens + prompt_tokens)

    def _displace(self) -> Ticket:
        """The lowest class that borrows gives up its newest. There is one: if a newcomer has no place though
        its class is within its share, then the others hold more than all of theirs."""
        line = next(line for line in reversed(self._lines.values()) if line.borrows)
        ticket = next(reversed(line.tickets))
        self.remove(ticket)
        return ticket

    def _count(self, line: _Line, requests: int, prompt_tokens: int) -> None:
        line.prompt_tokens += prompt_tokens
        self.requests += requests
        self.prompt_tokens += prompt_tokens
