"""The change of colour: new pods ready and answering, then the switch, then the old ones drain and go.

The Service alone decides who answers. Each function is one question or one decision of the planner.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.core import canary, capacity, control, gates, hot_reload, naming, swap
from sluicegate.core.addresses import service_url
from sluicegate.core.colours import Colour
from sluicegate.core.exposure import Exposure, exposed_now, previewed
from sluicegate.core.objects import Manifest, condition, name, overdue, uid
from sluicegate.core.observed import Answer, RuntimeStatus
from sluicegate.core.plan import Action, Ask
from sluicegate.core.problem import Problem
from sluicegate.core.template import served_model_name
from sluicegate.core.world import World

# kube-proxy adds a backend within 0.1 s, or within a second after another change. It may send new connections
# to a removed one for another second.
OVERLAP = timedelta(seconds=0.5)
PROPAGATION = timedelta(seconds=2)

HELD = (Step.PAUSED, Step.AWAITING_PROMOTION)
"""Those that somebody has to end."""
UNCOUNTED = (*HELD, Step.SWAPPING, Step.AWAITING_CAPACITY)
"""Those whose time is not the new pods' own."""


def step(world: World) -> Step | None:
    """Where the change stands, or None where nothing changes."""
    if (found := hot_reload.step(world)) is not None:
        return found
    if world.reverted is not None:
        return Step.REVERTING
    if world.exposure.overlap:
        return Step.CUTOVER
    if world.observed is not None:
        return Step.OBSERVING
    if world.failed is not None:
        stays = world.failed is world.serving
        return Step.DISCARDING if not stays and _goes(world, world.failed) else None
    if world.promoted and not swap.makes_room(world):
        return Step.DRAINING if any(map(_drains, world.retired)) else None
    if world.paused:
        return Step.PAUSED
    if world.target is None:
        return None
    if world.awaits_promotion and (verified(world, world.target) or swap.due(world)):
        return Step.AWAITING_PROMOTION
    if swap.makes_room(world):
        return Step.SWAPPING
    if capacity.waits(world, world.target):
        return Step.AWAITING_CAPACITY
    return Step.VERIFYING if enough_pods(world, world.target) else Step.PROVISIONING


def _goes(world: World, colour: Colour) -> bool:
    """Whether pods are still to go. Of a node that does not answer any more, no end is awaited."""
    return colour.replica_set is not None or any(not overdue(pod, world.now) for pod in colour.pods)


def _drains(colour: Colour) -> bool:
    """Pods without any record of their colour were given its label by hand: nobody ends them."""
    return colour.replica_set is not None or bool(colour.objects and colour.pods)


def enough_pods(world: World, colour: Colour) -> bool:
    return colour.replica_set is not None and len(colour.ready_pods) >= world.deployment.spec.replicas


def enough_to_serve(world: World) -> bool:
    """Whether the target has a pod that can answer, or none is wanted."""
    replicas = world.deployment.spec.replicas
    return replicas == 0 or (world.target is not None and bool(world.target.ready_pods))


def verified(world: World, colour: Colour) -> bool:
    """Its pods answer as they should, and every gate lets it serve."""
    if world.deployment.spec.replicas == 0:
        return enough_pods(world, colour)
    return answers(world, colour) and gates.gate(world, colour).opens


def verification(world: World, colour: Colour) -> str:
    """What the gates made of it: as judged now, or as it was before the operator restarted."""
    if colour in (world.reload, world.ended):
        return canary.gate(world).note or colour.record.verification
    judged = colour is world.target and not colour.record.ending and answers(world, colour)
    return (gates.gate(world, colour).note if judged else "") or colour.record.verification


def answers(world: World, colour: Colour) -> bool:
    """Every pod is ready, serves the files that the pointer names, and the preview Service answers."""
    if not enough_pods(world, colour):
        return False
    answered = world.seen.answers.get(preview_subject(colour))
    return _says(answered, colour) and all(_right(world, pod, colour) for pod in colour.ready_pods)


def next_exposure(world: World) -> Exposure:
    """What the Service shall select now; the same exposure where it is to stay as it is."""
    target, current = world.target, world.exposure
    if current.overlap:
        return _end_of_overlap(world)
    if world.reverted is not None and world.previous is not None:
        return _back(world, world.reverted, world.previous)
    if target is None or world.promoted or not verified(world, target):
        return current
    if world.paused or world.awaits_promotion:
        return current
    serving = [colour for colour in world.exposed if colour.ready_pods]
    if not serving or not target.ready_pods or swap.heir(world) is target:
        return exposed_now(target.id, world.now)
    return current if _of_a_third(world, target) else exposed_now(naming.EVERY_ROLLOUT, world.now)


def _back(world: World, left: Colour, previous: Colour) -> Exposure:
    """By an overlap too where both are ready; at once where who failed cannot answer anyhow."""
    if not left.ready_pods or (previous.ready_pods and _of_a_third(world, previous)):
        return exposed_now(previous.id, world.now)
    return exposed_now(naming.EVERY_ROLLOUT, world.now) if previous.ready_pods else world.exposure


def _of_a_third(world: World, target: Colour) -> list[Manifest]:
    """Pods of neither the target nor who serves: the overlap selects every pod of the deployment."""
    known = (target.id, world.exposure.rollout)
    return [pod for id, colour in world.colours.items() if id not in known for pod in colour.lasting_pods]


def in_the_way(world: World, target: Colour) -> Problem | None:
    """What a verified target waits for before it may serve beside the present version."""
    if _serves(world, target) or world.exposure.overlap or not verified(world, target):
        return None
    if world.paused or world.awaits_promotion:
        return None
    names = ", ".join(name(pod) for pod in _of_a_third(world, target))
    text = f"waits for pods of neither version to go: {names}. Delete those that nobody ends"
    return Problem(Reason.SUPERSEDED, text, stalled=False) if names else None


def _end_of_overlap(world: World) -> Exposure:
    heir = _heir(world)
    if heir is not None:
        over = world.exposure.age(world.now) >= OVERLAP
        return exposed_now(heir.id, world.now) if over else world.exposure
    ready = [colour for colour in world.exposed if colour.ready_pods]
    fallback = next(iter([*ready, *world.exposed]), None)
    return exposed_now(fallback.id if fallback else naming.NO_ROLLOUT, world.now)


def _heir(world: World) -> Colour | None:
    """Who shall serve alone after an overlap, if that one is able to."""
    if world.reverted is not None:
        return world.previous if world.previous and world.previous.ready_pods else None
    return world.target if world.target and verified(world, world.target) else None


def questions(world: World) -> Iterator[Action]:
    """What has to be asked before the next decision can be taken."""
    target = world.target
    if target is None or not in_question(world, target):
        return
    if world.promoted:
        yield from _ask(world, target, service_subject(target), world.service)
        return
    for pod in target.ready_pods:
        yield from _inquire(world, pod, target)
    yield from _ask(world, target, preview_subject(target), world.preview)
    if answers(world, target):
        yield from gates.questions(world, target)


def in_question(world: World, target: Colour) -> bool:
    """Whether the target's pods are ready and have yet to answer."""
    if world.deployment.spec.replicas == 0 or not target.ready_pods:
        return False
    if world.promoted:
        return not answered_since_ready(world, target)
    asked = answers(world, target) and not gates.gate(world, target).asks
    return enough_pods(world, target) and not asked


def _ask(world: World, colour: Colour, subject: str, service: Manifest | None) -> Iterator[Action]:
    url, heard = service_url(service), world.seen.answers.get(subject)
    if url and (heard is None or _due(world, heard, enough=_says(heard, colour) and not world.promoted)):
        model = served_model_name(world.deployment)
        yield Ask(subject, url, model, "pods are ready and have to answer")


def _inquire(world: World, pod: Manifest, colour: Colour) -> Iterator[Action]:
    heard = world.seen.runtimes.get(uid(pod))
    if heard is None or _due(world, heard, enough=_right(world, pod, colour)):
        yield from control.inquire(world, pod, "new pods must serve the files of their pointer")


def _due(world: World, heard: Answer | RuntimeStatus, *, enough: bool) -> bool:
    return not enough and not control.recent(heard.at, world.now)


def _serves(world: World, colour: Colour) -> bool:
    return world.exposure.rollout == colour.id


def _says(answer: Answer | None, colour: Colour) -> bool:
    return answer is not None and answer.error is None and answer.version == colour.version


def _right(world: World, pod: Manifest, colour: Colour) -> bool:
    heard = world.seen.runtimes.get(uid(pod))
    return heard is not None and heard.error is None and heard.digest == colour.digest


def answered_since_ready(world: World, colour: Colour) -> bool:
    """Whether the Service answered with this colour's version since it was last known not to."""
    status = world.deployment.status
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    if ready and ready.status == "True" and status.serving and status.serving.rollout == colour.id:
        return True
    answer = world.seen.answers.get(service_subject(colour))
    since = ready.last_transition_time if ready else ""
    return answer is not None and _says(answer, colour) and control.came_after(answer.at, since, world.now)


def unanswered(world: World, colour: Colour) -> Problem | None:
    """What was wrong with the last answers of a colour whose pods are ready."""
    subject = service_subject(colour) if _serves(world, colour) else preview_subject(colour)
    answer = world.seen.answers.get(subject)
    if answer is not None and not _says(answer, colour) and not _premature(world, colour, answer):
        said = answer.error or f"version {answer.version} answered instead of {colour.version}"
        return Problem(Reason.ANSWER_FAILED, said, stalled=False)
    for pod in colour.ready_pods:
        heard = world.seen.runtimes.get(uid(pod))
        if heard is not None and not _right(world, pod, colour):
            said = heard.error or f"pod {name(pod)} serves {heard.digest}, its pointer names {colour.digest}"
            # What a pod says of itself stays so: it reads its pointer at its start.
            final = heard.error is None and heard.digest is not None
            return Problem(Reason.WRONG_DIGEST_SERVED, said, stalled=False, final=final)
    return None


def unverified(world: World, colour: Colour) -> Problem | None:
    """Why a colour whose pods answer may not serve yet."""
    if _serves(world, colour) or not answers(world, colour):
        return None
    return gates.gate(world, colour).problem


def _premature(world: World, colour: Colour, answer: Answer) -> bool:
    """Whether kube-proxy may not have known of the ready pods, or of the Service's last move, when it was
    asked for; or it was before the pods changed in place."""
    if answer.error is not None and _just_ready(colour, answer.at):
        return True
    if not _serves(world, colour):
        moved = previewed(world.preview, colour.id, world.now).since
    elif answer.error is None:
        moved = max(world.exposure.since, colour.record.since)
    else:
        return False
    return answer.at - datetime.fromisoformat(moved) < PROPAGATION


def _just_ready(colour: Colour, at: datetime) -> bool:
    """Whether kube-proxy may not have known all of the ready pods at that time."""
    since = ((condition(pod, "Ready") or {}).get("lastTransitionTime") for pod in colour.ready_pods)
    return any(at - datetime.fromisoformat(each) < PROPAGATION for each in since if each)


def preview_subject(colour: Colour) -> str:
    return f"preview/{colour.id}"


def service_subject(colour: Colour) -> str:
    return f"service/{colour.id}"
