"""Observing: what took over is watched for a while, beside what served before and can serve again at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.core import naming, progress, rollout
from sluicegate.core.colours import Colour
from sluicegate.core.comparison import Finding, Sample, compare, sample
from sluicegate.core.objects import Manifest, uid
from sluicegate.core.observed import RuntimeStatus
from sluicegate.core.plan import Inquire
from sluicegate.core.problem import Problem
from sluicegate.core.world import World

PERIOD = timedelta(seconds=5)
"""How old what pods tell of their answers may become."""


def end(known: World) -> datetime | None:
    """Until when who serves is observed; None where nobody is, for a time that is asked for and with pods."""
    seconds = known.deployment.spec.rollout.observe_seconds
    if known.observed is None or seconds == 0 or known.deployment.spec.replicas == 0:
        return None
    return datetime.fromisoformat(known.exposure.since) + timedelta(seconds=seconds)


def success(known: World, observed: Colour) -> str | None:
    """What its promotion is owed to, or None where it is not to be promoted yet."""
    until = end(known)
    if until is None:
        return "the Service points at it"
    if observed.record.swaps:
        answers = observed.ready_pods and not _unheard(known, observed)
        return "not observed: it took the place of the pods before it, and answers" if answers else None
    if known.now < until or not observed.ready_pods or _unheard(known, observed) or not _all_heard(known):
        return None
    seconds = known.deployment.spec.rollout.observe_seconds
    return f"observed for {seconds} s; {finding(known, observed).note}"


def failure(known: World, observed: Colour) -> Problem | None:
    """Why who serves has to go, in favour of what served before.

    Where that has no ready pod going back would help nobody: before the end, only a person says so. One whose
    pods made room is as good as ready, and has to be waited for.
    """
    until = end(known)
    if until is None:
        return None
    if known.deployment.metadata.annotations.get(naming.ABORT) == observed.id:
        return Problem(Reason.ABORTED, "somebody ended it while it was observed")
    can_go_back = known.previous is not None and bool(known.previous.ready_pods or observed.record.swaps)
    found = progress.trouble(known, observed)
    if not observed.ready_pods and (can_go_back or known.now >= until):
        return found or Problem(Reason.NO_READY_REPLICAS, f"no pod of {observed.version} is ready any more")
    if not can_go_back:
        return None
    if found and (found.final or (known.now >= until and _unheard(known, observed))):
        return found
    worse = finding(known, observed).worse
    return Problem(Reason.REGRESSION_OBSERVED, worse) if worse else None


def finding(known: World, observed: Colour) -> Finding:
    """How its answers compare with those of what served before."""
    limits = known.deployment.spec.rollout.verification.comparison
    before = _sample(known, known.previous) if known.previous else Sample()
    return compare(before, _sample(known, observed), limits)


def _all_heard(known: World) -> bool:
    """Whether every ready pod of both was asked since, by this operator: one that was away has yet to."""
    since = datetime.fromisoformat(known.exposure.since)
    return all(heard is not None and heard.at >= since for _, heard in _pods(known))


def _pods(known: World) -> Iterator[tuple[Manifest, RuntimeStatus | None]]:
    """The ready pods of both, and what was heard of each."""
    for colour in (known.previous, known.observed):
        for pod in colour.ready_pods if colour else ():
            yield pod, known.seen.runtimes.get(uid(pod))


def questions(known: World) -> Iterator[Inquire]:
    """Ask the pods of both for what they measured."""
    if end(known) is None:
        return
    for pod, heard in _pods(known):
        # One that is still to come was heard before a clock was set back.
        if heard is None or not timedelta(0) <= known.now - heard.at < PERIOD:
            yield from rollout.inquire(known, pod, "its answers are compared")


def moments(known: World) -> Iterator[timedelta]:
    """In how much time there is something to ask, and the end."""
    until = end(known)
    if until is not None:
        yield until - known.now
        if any(_pods(known)):
            yield PERIOD


def _unheard(known: World, observed: Colour) -> bool:
    """Whether no answer came through the Service. Only of what the spec asks for one is asked for."""
    return known.promoted and not rollout.answered_since_ready(known, observed)


def _sample(known: World, colour: Colour) -> Sample:
    heard = (known.seen.runtimes.get(uid(pod)) for pod in colour.pods)
    return sample(each.measured.get(colour.version) for each in heard if each is not None)
