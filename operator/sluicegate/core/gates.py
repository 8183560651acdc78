"""The gates between pods that answer and the Service, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sluicegate.core import golden, verification_job, webhook
from sluicegate.core.colours import Colour
from sluicegate.core.gate import Gate
from sluicegate.core.world import World

GATES: tuple[Callable[[World, Colour], Gate], ...] = (golden.gate, verification_job.gate, webhook.gate)


def gate(known: World, colour: Colour) -> Gate:
    """All gates as one. A later one is asked only when those before it are open."""
    notes: list[str] = []
    for each in GATES:
        found = each(known, colour)
        notes += [found.note] if found.note else []
        if not found.opens:
            return replace(found, note="; ".join(notes))
    return Gate(opens=True, note="; ".join(notes))
