"""How rollouts end: each in one of Promoted, RolledBack and Superseded.

An ending is noted on the colour's record before anything of the colour is removed. Its outcome never changes.
"""

from __future__ import annotations

from dataclasses import replace

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Ending, Outcome
from sluicegate.core import hot_reload, in_place, naming, observation, progress, rollout, swap
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import shortened, timestamp
from sluicegate.core.problem import Problem
from sluicegate.core.world import World

MESSAGE_LIMIT = 512
"""Bytes of a record's message."""


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
    reload, ending = known.reload, _end_in_place(known)
    if reload is None or ending is None:
        return known
    host = known.host
    known = replace(known, reload=None, ended=reload, endings={reload.id: ending})
    if ending.outcome is Outcome.PROMOTED:
        return known
    over = replace(reload, record=replace(reload.record, ending=ending))
    if host is not None:
        back = in_place.given_back(host, (over,), known.now)
        known = replace(known, colours={**known.colours, back.id: back})
        target = known.target if known.target is not host else back
        known = replace(known, target=target if target and known.wants(target) else _wanted(known, back))
    if ending.outcome is Outcome.ROLLED_BACK and known.wants(reload):
        return replace(known, target=None, failed=reload)
    return known


def _wanted(known: World, colour: Colour) -> Colour | None:
    return colour if known.wants(colour) else None


def _end_in_place(known: World) -> Ending | None:
    reload = known.reload
    if reload is None:
        return None
    if not known.wants(reload) and not (known.taken and not _asks_for_the_one_before(known, reload)):
        text = "the spec asked for something else before it was promoted"
        return _ending(known, Outcome.SUPERSEDED, Reason.SUPERSEDED, text)
    failure = (
        observation.failure(known, known.host) if known.host and known.taken else _failure_in_place(known)
    )
    if failure is not None:
        return _ending(known, Outcome.ROLLED_BACK, failure.reason, failure.message)
    why = observation.success(known, known.host) if known.host and known.taken else None
    told = replace(reload.record, verification=rollout.verification(known, reload))
    return _promoted(known, replace(reload, record=told), why) if why else None


def _asks_for_the_one_before(known: World, reload: Colour) -> bool:
    return known.host is not None and known.wants(in_place.before(known.host, reload))


def _failure_in_place(known: World) -> Problem | None:
    """Why a version that was to come into running pods does not."""
    reload = known.reload
    if reload is None:
        return None
    if known.deployment.metadata.annotations.get(naming.ABORT) == reload.id:
        return Problem(Reason.ABORTED, "somebody ended it before it took over")
    found, limit = hot_reload.trouble(known), progress.deadline(known, reload)
    if found is not None and found.final:
        return found
    return progress.too_late(known, reload, found) if limit is not None and known.now >= limit else None


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
