"""One request's place, from the moment that it asks for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sluicegate_engine.demand import Demand
from sluicegate_engine.priority import Priority


class Verdict(StrEnum):
    """Where a request stands."""

    ADMITTED = "Admitted"
    QUEUED = "Queued"
    FULL = "Full"
    UNAVAILABLE = "Unavailable"
    LEFT = "Left"


@dataclass(eq=False)
class Ticket:
    """`wake` is called once when a queued ticket gets another verdict, which may be at once.

    That may still be Full: its place was lent, and another class needs it.
    """

    verdict: Verdict
    priority: Priority
    demand: Demand
    wake: Callable[[], None]
