"""How rollouts end: each in one of Promoted, RolledBack and Superseded.

An ending is noted on the colour's record before anything of the colour is removed. Its outcome never changes.
"""

from __future__ import annotations

from dataclasses import replace

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Ending, Outcome
from sluicegate.core import naming, progress
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import shortened, timestamp
from sluicegate.core.problem import Problem
from sluicegate.core.world import World

MESSAGE_LIMIT = 512
"""Bytes of a record's message."""


def concluded(known: World) -> World:
    """The world, in which every rollout that is over has its ending. A failed target is none any more."""
    target, failure = known.target, _failure(known)
    if target is not None and failure is not None:
        lost = {target.id: _ending(known, Outcome.ROLLED_BACK, failure.reason, failure.message)}
        known = replace(known, target=None, failed=target, endings=lost)
    ends = {
        colour.id: ending
        for colour in known.colours.values()
        if (ending := _end_of(known, colour) if known.ending(colour) is None else _again(known, colour))
    }
    return replace(known, endings={**known.endings, **ends})


def _again(known: World, colour: Colour) -> Ending | None:
    """Of what was promoted before and is gone back to: its ending, which is the latest again."""
    last, ending = known.promoted_last, colour.record.ending
    if colour.id != known.exposure.rollout or not (last and last.record.ending and ending):
        return None
    latest = last.record.ending.finished_at
    if ending.outcome is not Outcome.PROMOTED or ending.finished_at >= latest:
        return None
    return ending.model_copy(update={"finished_at": max(latest, timestamp(known.now))})


def _end_of(known: World, colour: Colour) -> Ending | None:
    if colour.id == known.exposure.rollout:
        told = ("the Service points at it", colour.record.verification)
        return _ending(known, Outcome.PROMOTED, Reason.PROMOTED, "; ".join(filter(None, told)))
    if any(colour.id == kept.id for kept in known.kept):
        return None
    text = "the spec asked for something else before it took over"
    return _ending(known, Outcome.SUPERSEDED, Reason.SUPERSEDED, text)


def _failure(known: World) -> Problem | None:
    """Why the target is given up before it ever served.

    Not for what waiting may heal, and not where nobody else serves: giving up would help nobody.
    """
    target = known.target
    if target is None or target.record.ending or known.promoted or known.exposure.overlap:
        return None
    if known.deployment.metadata.annotations.get(naming.ABORT) == target.id:
        return Problem(Reason.ABORTED, "somebody ended it before it took over")
    if known.paused or not any(colour.ready_pods for colour in known.exposed):
        return None
    found = progress.trouble(known, target)
    return found if found and found.final else None


def _ending(known: World, outcome: Outcome, reason: Reason, message: str) -> Ending:
    return Ending(
        outcome=outcome,
        reason=str(reason),
        message=shortened(message, MESSAGE_LIMIT),
        finished_at=timestamp(known.now),
    )
