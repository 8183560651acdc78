"""Hot reload: another version comes into the running pods of the colour that serves, one after another.

Its rollout has a record and no pods of its own. Where it stands is what the pods say: first all of them stage
the new files beside those that they serve, then one changes and has to answer right, then the others; when
all of them serve the new version, the record and the pointer of their colour name it. What comes to nothing,
before that or after, leaves the colour what it was, and pods that serve something else change back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.api.v1alpha1.rollout import Strategy
from sluicegate.core import canary, control, golden, hindrances, in_place
from sluicegate.core.colours import Colour, Record, Reload
from sluicegate.core.conditions import shortened
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.fleet import Fleet, Standing, fleet
from sluicegate.core.objects import Manifest, name, uid
from sluicegate.core.observed import RuntimeStatus
from sluicegate.core.plan import Action, Mode
from sluicegate.core.problem import Problem
from sluicegate.core.world import Change, World

STAGES_AT_A_TIME = 4
"""Pods that read the new files at the same time: each reads all of them, often from one disk."""
PATIENCE = timedelta(seconds=10)
"""After how long a pod that would not change back, or does not answer, is told so or asked again."""
WHY_LIMIT = 512
"""Bytes of the reason why a version does not come in place."""

_FAILED = ("Refused", "RolledBack")


def due(known: World) -> bool:
    """Whether what is to be made now is to come into the running pods."""
    return _asks(known) and known.coming is not None and hindrances.hindrance(known) is None


def comes_about(known: World, record: Record) -> Record | None:
    """The record of what is to be made, with how it comes about; None where it has to wait for pods."""
    if due(known) and (serving := known.serving) is not None:
        unknown = (pod for pod in serving.ready_pods if uid(pod) not in known.seen.runtimes)
        returns = in_place.sequence(serving.record.content) and any(unknown)
        into = Reload(serving.id, serving.record.content)
        return None if returns or astray(known) else replace(record, reload=into)
    why = hindrances.hindrance(known) if _asks(known) else None
    return replace(record, not_in_place=why or "")


def _asks(known: World) -> bool:
    """Whether the spec asks for changes in place. The first version ever changes nothing."""
    asks = known.deployment.spec.rollout.strategy is Strategy.HOT_RELOAD
    return asks and known.promoted_last is not None


def resolved(known: World) -> World:
    """The world, in which the rollout has become one of new pods where it has to, and where all pods have
    changed their colour names what they serve."""
    change = known.changing
    if change is None or not known.wants(change.reload):
        return known
    reload, host = change.reload, change.host
    if why := hindrances.met(known, change):
        colour = replace(reload, record=replace(reload.record, not_in_place=shortened(why, WHY_LIMIT)))
        back = in_place.given_back(host, (colour,), known.now)
        colours = {**known.colours, back.id: back, colour.id: colour}
        return replace(known, reload=None, colours=colours, target=colour)
    if not fleet(known, change).changed or not canary.gate(known).opens:
        return known
    heard = filter(None, (control.heard(known, pod) for pod in host.ready_pods))
    number = max(in_place.sequence_of(reload), *(each.sequence or 0 for each in heard))
    taken = in_place.taken(host, reload, number, known.now)
    return replace(known, colours={**known.colours, taken.id: taken}, target=taken)


def step(known: World) -> Step | None:
    """Where a change in place stands, or None where there is none."""
    change = known.changing
    if change is None:
        return _afterwards(known)
    found = fleet(known, change)
    if found.begun:
        return Step.FLEET if canary.gate(known).opens else Step.CANARY
    if known.paused:
        return Step.PAUSED
    if not found.staged:
        return Step.STAGING
    return Step.AWAITING_PROMOTION if known.asks_for_promotion(change.reload) else Step.CANARY


def _afterwards(known: World) -> Step | None:
    if known.taken:
        return Step.OBSERVING
    return Step.REVERTING if returning(known) else None


def returning(known: World) -> Colour | None:
    """The rollout that came to nothing and is still in a pod, if one is."""
    serving = known.serving
    if serving is None or serving.record.rollout or not astray(known):
        return None
    over = (*filter(None, (known.ended,)), *known.past)
    return next((each for each in over if _goes_into(each, serving)), None)


def _goes_into(reload: Colour, colour: Colour) -> bool:
    return reload.record.reload is not None and reload.record.reload.colour == colour.id


def astray(known: World) -> list[Manifest]:
    """Pods of the colour that serves which say that they serve something else than it."""
    serving = known.serving
    return _strays(known, serving) if serving in _kept_right(known) else []


def _kept_right(known: World) -> list[Colour]:
    """Who serves, shall serve or can serve again, where any pod ever changed: there none may serve something
    else."""
    colours = () if known.changing else filter(None, (known.serving, known.target, known.previous))
    found = {colour.id: colour for colour in colours if in_place.sequence(colour.record.content)}
    return list(found.values())


def _strays(known: World, colour: Colour) -> list[Manifest]:
    heard = ((pod, control.heard(known, pod)) for pod in sorted(colour.ready_pods, key=name))
    return [pod for pod, status in heard if status is not None and not control.serves(status, colour)]


def trouble(known: World) -> Problem | None:
    """What is in the way of a version that comes in place, most telling first."""
    change = known.changing
    pods = sorted(change.host.lasting_pods, key=name) if change else []
    found = (_refusal(known, pod, change) or _crash(known, pod, change) for pod in pods if change)
    return (
        next(filter(None, found), None) or _unprovable(known) or canary.gate(known).problem or _missing(known)
    )


def _missing(known: World) -> Problem | None:
    """Why there are not as many pods as are to change: nothing goes on before they are there."""
    change = known.changing
    if change is None or fleet(known, change).enough:
        return None
    found = diagnose(change.host.replica_set, change.host.pods)
    return replace(found, final=False) if found else None


def _unprovable(known: World) -> Problem | None:
    """Why no pod may change yet: none of the golden prompts that are required could be told it."""
    change = known.changing
    staged = change is not None and fleet(known, change).staged
    return golden.lacking(known, replace(change.reload, pods=change.host.pods)) if change and staged else None


def _refusal(known: World, pod: Manifest, change: Change) -> Problem | None:
    """What a pod has against the new version: it serves the old one then, proven."""
    heard = control.heard(known, pod)
    told = heard.reload if heard else None
    if told is None or told.outcome not in _FAILED or not in_place.concerns(told, change.reload):
        return None
    golden_prompts = told.reason == Reason.GOLDEN_PROMPTS_FAILED
    reason = Reason.GOLDEN_PROMPTS_FAILED if golden_prompts else Reason.HOT_RELOAD_FAILED
    return Problem(reason, f"pod {name(pod)}: {told.reason}: {told.message}", final=True)


def _crash(known: World, pod: Manifest, change: Change) -> Problem | None:
    """What ends a pod again and again that had changed, or was about to, when it was last heard."""
    last = known.seen.runtimes.get(uid(pod))
    told = last.reload if last else None
    at_it = told is not None and told.mode == Mode.SWITCH and in_place.concerns(told, change.reload)
    changed = last is not None and (at_it or control.serves(last, change.reload))
    return diagnose(None, (pod,)) if changed else None


def how_far(known: World, change: Change) -> str:
    """How far the pods are, for people."""
    found, wanted = fleet(known, change), known.deployment.spec.replicas
    changed, staged = len(found.at(Standing.NEW)), len(found.at(Standing.STAGED))
    return f"{changed} of {wanted} pods serve it, {staged} could at once"


# what is done


def calls(known: World) -> Iterator[Action]:
    """What pods of the colour that serves are told and asked, so that they serve what they should."""
    if known.deployment.spec.replicas == 0:
        return
    if known.changing is not None:
        yield from _forward(known, known.changing.reload, fleet(known, known.changing))
    for colour in _kept_right(known):
        yield from _back(known, colour)


def _forward(known: World, reload: Colour, found: Fleet) -> Iterator[Action]:
    for pod in found.at(Standing.UNHEARD, Standing.STAGING, Standing.SWITCHING):
        yield from control.listen(known, pod)
    for pod in found.at(Standing.OCCUPIED):
        yield from control.cancel(known, pod, "something else comes")
    free = STAGES_AT_A_TIME - len(found.at(Standing.STAGING))
    for pod in found.at(Standing.OLD)[: max(0, free)]:
        yield from _tell(known, pod, reload, Mode.STAGE)
    if found.staged and (found.begun or _may_begin(known, reload)):
        yield from _next(known, reload, found)


def _may_begin(known: World, reload: Colour) -> bool:
    """Whether nobody holds the first pod, which serves from the moment that it has changed."""
    return not (known.paused or known.asks_for_promotion(reload) or _unprovable(known))


def _next(known: World, reload: Colour, found: Fleet) -> Iterator[Action]:
    """One pod more, when the ones before have answered right."""
    first = canary.of(known)
    if first is not None and not canary.gate(known).opens:
        yield from canary.questions(known, first)
        return
    for pod in found.at(Standing.STAGED)[:1]:
        yield from _tell(known, pod, reload, Mode.SWITCH)


def _back(known: World, colour: Colour) -> Iterator[Action]:
    """What pods were told and is no longer to be ends: what goes on at once, then one pod after another."""
    heard = {uid(pod): control.heard(known, pod) for pod in colour.ready_pods}
    turn = _turn_back(known, colour, heard)
    for pod in colour.ready_pods:
        status = heard[uid(pod)]
        if status is None:
            yield from control.listen(known, pod, _patience(known, pod))
        elif _is_at_something_else(status, colour):
            yield from control.cancel(known, pod, "it is not to come any more")
        elif pod == turn:
            yield from _change_back(known, pod, status, colour)


def _turn_back(known: World, colour: Colour, heard: Mapping[str, RuntimeStatus | None]) -> Manifest | None:
    """The pod that changes back now. One that was never heard, did not answer just now, or is told to change
    right now may hold its requests, as one does that is at something else: nobody's turn comes before it is
    known to be over."""
    unknown = any(heard[uid(pod)] is None and _may_answer(known, pod) for pod in colour.ready_pods)
    told = filter(None, heard.values())
    if unknown or any(each.ordered or _is_at_something_else(each, colour) for each in told):
        return None
    strays = _strays(known, colour)
    at_it = (pod for pod in strays if _is_at_it(heard[uid(pod)]))
    return next(at_it, None) or next(iter(strays), None)


def _may_answer(known: World, pod: Manifest) -> bool:
    """Whether a pod that has not said what it serves was never asked, or asked just now."""
    return uid(pod) not in known.seen.runtimes or not control.due(known, pod, PATIENCE)


def _is_at_it(heard: RuntimeStatus | None) -> bool:
    """Whether a pod changes."""
    return bool(heard and heard.reload and heard.reload.outcome is None)


def _is_at_something_else(heard: RuntimeStatus, serving: Colour) -> bool:
    """Whether a pod changes to what it should not serve, or holds memory for that."""
    return heard.reload is not None and heard.reload.lives and not _is_way_back(heard, serving)


def _is_way_back(heard: RuntimeStatus, serving: Colour) -> bool:
    """Whether a pod that serves something else changes to what it should serve."""
    right = control.serves(heard, serving)
    return not right and heard.reload is not None and heard.reload.digest == serving.digest


def _change_back(known: World, pod: Manifest, heard: RuntimeStatus, serving: Colour) -> Iterator[Action]:
    told = heard.reload if _is_way_back(heard, serving) else None
    if _is_at_it(heard):
        yield from control.listen(known, pod)
    elif told is None or told.outcome not in _FAILED or control.due(known, pod, PATIENCE):
        yield from _tell(known, pod, serving, Mode.SWITCH)


def _patience(known: World, pod: Manifest) -> timedelta:
    """How often a pod is asked that has yet to say what it serves, where nothing waits for that."""
    last = known.seen.runtimes.get(uid(pod))
    return PATIENCE if last is not None and last.error is not None else control.RETRY


def _tell(known: World, pod: Manifest, wanted: Colour, mode: Mode) -> Iterator[Action]:
    prompts = golden.to_prove(known, replace(wanted, pods=(pod,))) if mode is Mode.SWITCH else ()
    yield from control.change(known, pod, wanted, mode, prompts, f"{wanted.version} is to serve in its pods")


def moments(known: World) -> Iterator[timedelta]:
    """In how much time a pod is asked or told again."""
    if known.deployment.spec.replicas == 0:
        return
    if known.changing is not None:
        found = fleet(known, known.changing)
        if found.at(Standing.UNHEARD, Standing.OCCUPIED, Standing.OLD, Standing.STAGING, Standing.SWITCHING):
            yield control.RETRY
        if found.staged and canary.of(known) is not None and not canary.gate(known).opens:
            yield control.RETRY
    for colour in _kept_right(known):
        yield from _moments_back(known, colour)


def _moments_back(known: World, colour: Colour) -> Iterator[timedelta]:
    strays = _strays(known, colour)
    for pod in colour.ready_pods:
        heard = control.heard(known, pod)
        if heard is None:
            yield _patience(known, pod)
        elif heard.reload and heard.reload.lives:
            yield control.RETRY
        elif pod in strays:
            yield PATIENCE if heard.reload and heard.reload.outcome in _FAILED else control.RETRY
