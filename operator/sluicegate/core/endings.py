"""How rollouts end: each in one of Promoted, RolledBack and Superseded.

An ending is noted on the colour's record before anything of the colour is removed. Its outcome never changes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Ending, Outcome
from sluicegate.core import hot_reload, in_place, naming, observation, progress, rollout, swap
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import shortened, timestamp
from sluicegate.core.problem import Problem
from sluicegate.core.world import Change, World, promoted_last

MESSAGE_LIMIT = 512
"""Bytes of a record's message."""

TICK = timedelta(seconds=1)
"""Between two timestamps that differ."""


def concluded(known: World) -> World:
    """The world, in which every rollout that is over has its ending. A failed target is none any more."""
    known = _reloaded(hot_reload.resolved(known))
    observed, target = known.observed, known.target
    failure = observation.failure(known, observed) if observed else _failure(known)
    loser = observed or target
    if loser is not None and failure is not None:
        lost = {
            **known.endings,
            loser.id: _ending(known, Outcome.ROLLED_BACK, failure.reason, failure.message),
        }
        # The spec may ask for a third already, which is made when this one is gone.
        known = replace(known, target=None, failed=target or known.failed, endings=lost)
    ends = {
        colour.id: ending
        for colour in known.colours.values()
        if (ending := _end_of(known, colour) if known.ending(colour) is None else _again(known, colour))
    }
    return replace(known, endings={**known.endings, **ends})


def _reloaded(known: World) -> World:
    """The world, in which what came to nothing in running pods is over, and they serve what they did."""
    change = known.change
    ending = _end_in_place(known, change) if change else None
    if change is None or ending is None:
        return known
    reload, outcome = change.reload, ending.outcome
    known = replace(known, reload=None, ended=reload, endings={reload.id: ending})
    if outcome is Outcome.PROMOTED:
        return known
    over = replace(reload, record=replace(reload.record, ending=ending))
    back = in_place.given_back(change.host, (over,), known.now)
    failed = outcome is Outcome.ROLLED_BACK and known.wants(reload)
    return replace(
        known,
        colours={**known.colours, back.id: back},
        target=back if known.wants(back) and not failed else None,
        failed=reload if failed else known.failed,
    )


def _end_in_place(known: World, change: Change) -> Ending | None:
    reload, host = change.reload, change.host
    if not known.wants(reload) and not (change.taken and not known.wants(change.before)):
        text = "the spec asked for something else before it was promoted"
        return _ending(known, Outcome.SUPERSEDED, Reason.SUPERSEDED, text)
    failure = observation.failure(known, host) if change.taken else _failure_in_place(known, reload)
    if failure is not None:
        return _ending(known, Outcome.ROLLED_BACK, failure.reason, failure.message)
    why = observation.success(known, host) if change.taken else None
    told = replace(reload.record, verification=rollout.verification(known, reload))
    return _promoted(known, replace(reload, record=told), why) if why else None


def _failure_in_place(known: World, reload: Colour) -> Problem | None:
    """Why a version that was to come into running pods does not."""
    if known.deployment.metadata.annotations.get(naming.ABORT) == reload.id:
        return Problem(Reason.ABORTED, "somebody ended it before it took over")
    found, limit = hot_reload.trouble(known), progress.deadline(known, reload)
    if found is not None and found.final:
        return found
    return progress.too_late(known, reload, found) if limit is not None and known.now >= limit else None


def _again(known: World, colour: Colour) -> Ending | None:
    """Of what was promoted before and is gone back to: its ending, which is the latest again."""
    if colour.id != known.exposure.rollout:
        return None
    others = (each for each in (*known.colours.values(), *known.past) if each.id != colour.id)
    last, ending = promoted_last(others), colour.record.ending
    if not (last and last.record.ending and ending):
        return None
    latest = last.record.ending.finished_at
    if ending.outcome is not Outcome.PROMOTED or ending.finished_at > latest:
        return None
    later = datetime.fromisoformat(latest) + TICK
    return ending.model_copy(update={"finished_at": timestamp(max(later, known.now))})


def _end_of(known: World, colour: Colour) -> Ending | None:
    if colour is known.observed:
        why = observation.success(known, colour)
        return _promoted(known, colour, why) if why else None
    if colour is known.serving and known.previous is None:
        return _promoted(known, colour, "the Service points at it")
    if any(colour.id == kept.id for kept in known.kept):
        return None
    text = "the spec asked for something else before it was promoted"
    return _ending(known, Outcome.SUPERSEDED, Reason.SUPERSEDED, text)


def _promoted(known: World, colour: Colour, why: str) -> Ending:
    why_new = colour.record.not_in_place
    new_pods = f"not in place: {why_new}" if why_new else ""
    told = "; ".join(filter(None, (why, colour.record.verification, new_pods)))
    return _ending(known, Outcome.PROMOTED, Reason.PROMOTED, told)


def _failure(known: World) -> Problem | None:
    """Why the target is given up before it ever served.

    Not for what waiting may heal, and not where nobody else serves or made room and can come back: giving up
    would help nobody.
    """
    target = known.target
    if target is None or target.record.ending or known.promoted or known.exposure.overlap:
        return None
    if known.deployment.metadata.annotations.get(naming.ABORT) == target.id:
        return Problem(Reason.ABORTED, "somebody ended it before it took over")
    others = swap.heir(known) is target or any(colour.ready_pods for colour in known.exposed)
    if known.paused or not others:
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
