"""The gates between pods that answer and the Service, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from sluicegate.core import control, golden, verification_job, webhook
from sluicegate.core.colours import Colour
from sluicegate.core.gate import Gate
from sluicegate.core.observed import Reply, Scores
from sluicegate.core.plan import Action, Consult, Score
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


def questions(known: World, colour: Colour) -> Iterator[Action]:
    """What has to be asked now to learn more: what had no answer waits for a while."""
    return (each for each in gate(known, colour).asks if _is_due(known, each))


def _is_due(known: World, question: Action) -> bool:
    heard: Scores | Reply | None = None
    match question:
        case Score():
            heard = known.seen.scores.get(question.subject)
        case Consult():
            heard = known.seen.replies.get(question.subject)
    return heard is None or not control.recent(heard.at, known.now)
