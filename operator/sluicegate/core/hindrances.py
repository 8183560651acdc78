"""Hindrances: why a version cannot come into the running pods, so that new ones come with it."""

from __future__ import annotations

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.rollout import Strategy
from sluicegate.core import control, in_place
from sluicegate.core.colours import Colour
from sluicegate.core.fingerprint import flags
from sluicegate.core.objects import Manifest
from sluicegate.core.pointer import Pointer
from sluicegate.core.target import asked_for
from sluicegate.core.template import TOKEN_VARIABLES
from sluicegate.core.world import Change, World

_NOBODY = "no pod serves that could change"


def hindrance(known: World) -> str | None:
    """Why what the spec asks for cannot begin to come into the running pods."""
    serving, spec, pointer = known.serving, known.deployment.spec, known.pointer
    if serving is None or not serving.ready_pods or spec.replicas == 0 or pointer is None:
        return _NOBODY
    otherwise_the_same = spec.model_copy(update={"model_version": serving.version})
    if serving.record.target.partition(".")[0] != asked_for(otherwise_the_same):
        return "settings of the engine or the pods change too"
    if flags(serving.record.template) != list(known.preflight.flags):
        return "the engine would get other flags"
    return _not_mounted(serving, pointer)


def _not_mounted(serving: Colour, pointer: Pointer) -> str | None:
    """What the pods lack of what the sidecar needs. It brings no draft model into a running engine."""
    claim, secret = pointer.model.claim, pointer.model.secret_name
    if pointer.draft is not None:
        return "it has a draft model"
    if claim is not None and claim not in _claims(serving):
        return f"the pods do not mount the claim {claim}"
    if secret is not None and secret not in _secrets(serving):
        return f"the pods were not given the Secret {secret}"
    return None


def _claims(colour: Colour) -> set[str]:
    volumes = (colour.record.template or {})["spec"]["volumes"]
    return {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}


def _secrets(colour: Colour) -> set[str]:
    store = (colour.record.template or {})["spec"]["initContainers"][0]
    tokens = [each for each in store["env"] if each["name"] == TOKEN_VARIABLES[0]]
    return {each["valueFrom"]["secretKeyRef"]["name"] for each in tokens}


def met(known: World, change: Change) -> str | None:
    """Why a rollout that has begun cannot go on in the running pods."""
    spec, host = known.deployment.spec, change.host
    if spec.rollout.strategy is not Strategy.HOT_RELOAD:
        return f"rollout.strategy is {spec.rollout.strategy} by now"
    if spec.replicas == 0 or host is not known.serving:
        return _NOBODY
    return next(filter(None, (_without_hope(known, pod, change.reload) for pod in host.ready_pods)), None)


def _without_hope(known: World, pod: Manifest, reload: Colour) -> str | None:
    heard = control.heard(known, pod)
    if heard is None:
        return None
    if heard.sequence is None:
        return "the pods' runtime cannot change what it serves"
    told = heard.reload
    if told is None or not in_place.concerns(told, reload):
        return None
    hopeless = (told.outcome, told.reason) == ("Refused", Reason.RESTART_REQUIRED)
    return told.message if hopeless else None
