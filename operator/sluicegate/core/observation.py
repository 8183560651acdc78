"""Observing: what took over is watched for a while, beside what served before and can serve again at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.core import control, hot_reload, naming, progress, rollout
from sluicegate.core.colours import Colour
from sluicegate.core.comparison import Finding, Sample, compare, sample
from sluicegate.core.diagnosis import diagnose
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
    if known.watched is None or seconds == 0 or known.deployment.spec.replicas == 0:
        return None
    return _since(known) + timedelta(seconds=seconds)


def _since(known: World) -> datetime:
    """Since when it answers: the Service moved to it, or the last of its pods changed in place."""
    return datetime.fromisoformat(known.taken.host.record.since if known.taken else known.exposure.since)


def _before(known: World) -> Colour | None:
    """What can serve again: other pods, or what the same ones served before."""
    return known.taken.before if known.taken else known.previous


def success(known: World, observed: Colour) -> str | None:
    """What its promotion is owed to, or None where it is not to be promoted yet."""
    until = end(known)
    if until is None:
        return "its pods serve it" if known.taken else "the Service points at it"
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
    rollout_id = known.taken.reload.id if known.taken else observed.id
    if known.deployment.metadata.annotations.get(naming.ABORT) == rollout_id:
        return Problem(Reason.ABORTED, "somebody ended it while it was observed")
    before = known.previous
    can_go_back = bool(known.taken or (before and (before.ready_pods or observed.record.swaps)))
    found = _trouble(known, observed)
    if not observed.ready_pods and (can_go_back or known.now >= until):
        return found or Problem(Reason.NO_READY_REPLICAS, f"no pod of {observed.version} is ready any more")
    if not can_go_back:
        return None
    if found and (found.final or (known.now >= until and _unheard(known, observed))):
        return found
    worse = finding(known, observed).worse
    return Problem(Reason.REGRESSION_OBSERVED, worse) if worse else None


def _trouble(known: World, observed: Colour) -> Problem | None:
    """What is wrong with it. In place a pod that came late to the change is no fault of the version."""
    if known.taken and hot_reload.astray(known):
        return diagnose(observed.replica_set, observed.pods)
    return progress.trouble(known, observed)


def finding(known: World, observed: Colour) -> Finding:
    """How its answers compare with those of what served before."""
    limits = known.deployment.spec.rollout.verification.comparison
    old = _before(known)
    before = _sample(known, old) if old else Sample()
    return compare(before, _sample(known, observed), limits)


def _all_heard(known: World) -> bool:
    """Whether every ready pod of both was asked since, by this operator: one that was away has yet to."""
    since = _since(known)
    return all(heard is not None and heard.at >= since for _, heard in _pods(known))


def _pods(known: World) -> Iterator[tuple[Manifest, RuntimeStatus | None]]:
    """The ready pods of both, and what was heard of each."""
    for colour in (known.previous, known.watched):
        for pod in colour.ready_pods if colour else ():
            yield pod, known.seen.runtimes.get(uid(pod))


def questions(known: World) -> Iterator[Inquire]:
    """Ask the pods of both for what they measured."""
    if end(known) is None:
        return
    for pod, _ in _pods(known):
        if control.due(known, pod, PERIOD):
            yield from control.inquire(known, pod, "its answers are compared")


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
