"""How a change stands, in words for people: its step, what that waits for, and until when."""

from __future__ import annotations

from collections.abc import Mapping

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment, Step
from sluicegate.core import hot_reload, naming, observation, progress, rollout, swap
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import name
from sluicegate.core.problem import Problem
from sluicegate.core.world import World

STEPS: Mapping[Step, tuple[Reason, str]] = {
    Step.PROVISIONING: (Reason.PROVISIONING, "waits for its pods to become ready"),
    Step.VERIFYING: (Reason.VERIFYING, "has ready pods, which are asked through the preview Service"),
    Step.AWAITING_PROMOTION: (Reason.AWAITING_PROMOTION, "waits to be promoted"),
    Step.PAUSED: (Reason.PAUSED, "is held and does not take over"),
    Step.SWAPPING: (
        Reason.SWAPPING,
        "comes in the place of other pods, which finish their requests and go first: there is no room for "
        "both, and nobody answers until it is verified",
    ),
    Step.AWAITING_CAPACITY: (Reason.INSUFFICIENT_ACCELERATORS, "waits for a node with room"),
    Step.STAGING: (Reason.STAGING, "comes into the running pods, which bring its files first"),
    Step.CANARY: (Reason.CANARY, "comes into the running pods, and the first of them has to answer right"),
    Step.FLEET: (Reason.FLEET, "comes into the running pods, one after another"),
    Step.CUTOVER: (Reason.CUTOVER, "takes over: the Service moves to it"),
    Step.OBSERVING: (Reason.OBSERVING, "serves and is observed"),
    Step.REVERTING: (Reason.REVERTING, "is taken back: what served before serves again"),
    Step.DISCARDING: (Reason.DISCARDING, "has failed and is removed"),
    Step.DRAINING: (Reason.DRAINING, "serves; the pods before it finish their requests"),
}


def under_way(known: World) -> Problem:
    """The step, as what keeps the wanted version from being served so far."""
    step = rollout.step(known)
    if step is None and known.coming:
        step = Step.STAGING if hot_reload.due(known) else Step.PROVISIONING
    if step is None:
        return Problem(Reason.SUPERSEDED, "what the spec asked for before is removed first", stalled=False)
    subject, wanted = moving_colour(known), known.deployment.spec.model_version
    text = f"{subject.version if subject else wanted} {_words(known, step)}"
    return Problem(STEPS[step][0], text, stalled=False)


def _words(known: World, step: Step) -> str:
    text, comes = STEPS[step][1], known.reload or known.target
    match step:
        case Step.PAUSED:
            return _how_held(known)
        case Step.AWAITING_PROMOTION if comes is not None:
            return f"{_what_waits(known, comes)}: {_how_to_promote(known.deployment, comes)}"
        case Step.STAGING | Step.CANARY | Step.FLEET if known.changing:
            return f"{text}; {hot_reload.how_far(known, known.changing)}"
        case Step.PROVISIONING | Step.VERIFYING:
            return f"{text}{_why_new_pods(known)}"
        case Step.OBSERVING if known.watched is not None:
            return f"{text} {_how_observed(known, known.watched)}"
        case Step.REVERTING:
            return f"{text}{_how_it_returns(known)}"
    return text


def _why_new_pods(known: World) -> str:
    if known.target is not None and known.target.record.not_in_place:
        return f". New pods come with it: {known.target.record.not_in_place}"
    if swap.heir(known) is not None:
        return "; nobody answers until it is verified, for the pods before it have made room"
    return ""


def _how_it_returns(known: World) -> str:
    pods = ", ".join(name(pod) for pod in hot_reload.astray(known))
    return f". Pods have yet to change back: {pods}" if pods else ""


def _how_held(known: World) -> str:
    freeze = known.seen.defaults.freeze
    by = f"by the operator's SLUICEGATE_FREEZE ({freeze})" if freeze else "by spec.paused"
    comes = known.target or known.reload
    return f"is held {by}: {'it does not take over' if comes else 'no pods of it are made'}"


def _what_waits(known: World, target: Colour) -> str:
    if target is known.reload:
        return "lies ready in the running pods and waits to be promoted before the first of them changes"
    if swap.due(known):
        return (
            "waits to be promoted before the pods that serve make room for its own: from then on nobody "
            "answers until it is verified"
        )
    told = rollout.verification(known, target)
    return f"is verified and waits to be promoted{f' ({told})' if told else ''}"


def _how_observed(known: World, observed: Colour) -> str:
    later = "" if known.target else f". {known.deployment.spec.model_version} comes after that"
    if observed.record.swaps:
        return f"until the Service answers, {deadline(known)} at the latest{later}"
    return f"until {deadline(known)}; {observation.finding(known, observed).so_far}{later}"


def _how_to_promote(deployment: LLMDeployment, target: Colour) -> str:
    where = f"{deployment.metadata.name} -n {deployment.metadata.namespace}"
    return f"kubectl sluice rollout promote {where}, or the annotation {naming.PROMOTE}: {target.id}"


def moving_colour(known: World) -> Colour | None:
    """The one that the change in progress is about, which need not be what the spec asks for now."""
    in_place = known.reload or hot_reload.returning(known)
    return in_place or known.reverted or known.observed or known.target or known.failed


def deadline(known: World) -> str | None:
    """When the step fails or ends; None where it may take its time."""
    if until := observation.end(known):
        return timestamp(until)
    limit = progress.deadline(known, known.arriving) if known.arriving else None
    return timestamp(limit) if limit and not known.exposure.overlap else None
