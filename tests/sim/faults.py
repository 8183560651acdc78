"""Faults: what can go wrong with one request or one line of a watch, and which of them goes wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Channel(Enum):
    """What is counted: requests, among them writes, lines of watches, and orders to pods.

    The Lease has a clock of its own: counted apart, it does not shift the other numbers.
    """

    CALL = "call"
    WRITE = "write"
    ANSWER = "answer"
    """Of a write that the server carried out."""
    ORDER = "order"
    """To a model pod: to change what it serves, or to give that up."""
    LEASE = "lease"
    LINE = "line"


REFUSALS = ("403", "404", "409", "410", "422", "429", "500", "503", "504")
"""The request is answered so in the server's place: 429 and 503 with Retry-After, 500 for a webhook that
nobody answers for."""

RESET = "reset"
"""The connection breaks before the server has the request."""
TIMEOUT = "timeout"
"""The server never has the request, and nobody says so."""
LOST = "lost"
"""The request is carried out; the connection breaks before its answer."""
LATE = "late"
"""The request is carried out; its answer never comes."""
TORN = "torn"
"""The request is carried out; half of its answer comes."""
STALE = "stale"
"""A read is answered from an earlier state, a write with the object as it was before."""
BEFORE = "crash-before"
AFTER = "crash-after"
"""The operator is killed just before the server has the request, or just after it carried it out."""

ERRORS = (*REFUSALS, RESET, TIMEOUT, TORN, STALE)
AMBIGUOUS = (LOST, LATE)
CRASHES = (BEFORE, AFTER)
ALIKE = frozenset({"410", "503", RESET, TORN})
"""Nothing is done about these that is not done about others: about 410, a reset and half an answer what is
done about 504, about 503 as about 429. Half an answer of a write is no more than a lost one. Where a watch is
told 410 is another matter."""
ALIKE_IN_READS = ALIKE | {"409", "422", "504"}
ALIKE_IN_WRITES = ALIKE | {"403", "422"}
"""A read that is refused is tried again, whatever with, but for 404 and 429. About a write that is forbidden
or invalid is done what is done about one that a webhook holds up; only that it stalls."""

DROP = "drop"
"""The line never comes, and neither does any other news of it."""
COALESCE = "coalesce"
"""The line comes only with the next one of its object, as which it then is told."""

PAST = "past"
"""With the line all connections break. For some seconds an API server answers that has seen nothing since
the change, and watches of it stand still."""

RETRY_AFTER_SECONDS = 2
_FORM = re.compile(r"([a-z]+):(\d+):([a-z0-9-]+)")


@dataclass(frozen=True, order=True)
class Fault:
    """`what` happens to the `number`th (from 1) of what the channel counts. Written `call:17:lost`."""

    channel: Channel
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.channel.value}:{self.number}:{self.what}"


def fault(text: str) -> Fault:
    """The fault that a text stands for. Raises ValueError."""
    found = _FORM.fullmatch(text)
    known = (*ERRORS, *AMBIGUOUS, *CRASHES, DROP, COALESCE, PAST)
    if found is None or found[3] not in known or found[1] not in {each.value for each in Channel}:
        raise ValueError(
            f"{text!r} is no fault: write call|write|order|lease|line, a number and one of {', '.join(known)}"
        )
    return Fault(Channel(found[1]), int(found[2]), found[3])


def call(number: int, what: str) -> Fault:
    return Fault(Channel.CALL, number, what)


def write(number: int, what: str) -> Fault:
    return Fault(Channel.WRITE, number, what)


def order(number: int, what: str) -> Fault:
    return Fault(Channel.ORDER, number, what)


def line(number: int, what: str) -> Fault:
    return Fault(Channel.LINE, number, what)


class Script:
    """Counts what happens, over all lives of an operator, and says what goes wrong with it.

    `origin` is the API server's version at the change.
    """

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._acts: dict[tuple[Channel, int], Callable[[], None]] = {}
        self.origin = 0
        self._counts = dict.fromkeys(Channel, 0)
        self.begin(faults)

    def begin(self, faults: tuple[Fault, ...]) -> None:
        """From now on these are the faults."""
        self.faults = faults
        self._due = {(each.channel, each.number): each.what for each in faults}

    def next(self, channel: Channel) -> tuple[int, str | None]:
        """The number of what happens now, and its fault if it has one."""
        self._counts[channel] += 1
        number = self._counts[channel]
        self._acts.pop((channel, number), _nothing)()
        return number, self._due.pop((channel, number), None)

    def at(self, channel: Channel, number: int, act: Callable[[], None]) -> None:
        """Do something the moment that this happens, before anybody is the wiser."""
        self._acts[channel, number] = act

    def counts(self) -> dict[Channel, int]:
        """How much has happened so far."""
        return dict(self._counts)

    @property
    def begun(self) -> bool:
        """Whether what was to be done was done, and the first fault has happened.

        A second one may have nothing left to happen to.
        """
        missing = any((each.channel, each.number) in self._due for each in self.faults[:1])
        return not missing and not self._acts


class Chances(Script):
    """Draws faults from a seed: so many requests of a thousand fail, unless it is `calm`."""

    def __init__(self, seed: int, per_mille: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self._per_mille = per_mille
        self.calm = False
        self.drawn = 0

    def next(self, channel: Channel) -> tuple[int, str | None]:
        number, _ = super().next(channel)
        is_request = channel in (Channel.CALL, Channel.LEASE)
        if self.calm or not is_request or self._chance.randrange(1000) >= self._per_mille:
            return number, None
        self.drawn += 1
        return number, self._chance.choice(_DRAWN)


_DRAWN = (*4 * (*ERRORS, *AMBIGUOUS), *CRASHES)
"""Few of them are crashes: what an operator gathers shows only where it lives for hours."""


def _nothing() -> None: ...
