"""The record comes first: a status tells of no ending that is not on record, and no pods are made before
their record and their pointer are there and say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.sim.apiserver import ApiServer
from tests.sim.belongings import where_of
from tests.sim.end_state import outcome
from tests.sim.server.store import Change

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Outcome, Step
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, controller_uid, labels, terminating, uid
from sluicegate.core.template import POINTER_KEY
from sluicegate.kube.resources import CONFIG_MAP, CONTROLLER_REVISION, LLM_DEPLOYMENT

_AFTER = {
    Step.DISCARDING: (Outcome.ROLLED_BACK,),
    Step.REVERTING: (Outcome.ROLLED_BACK, Outcome.SUPERSEDED),
    Step.DRAINING: (Outcome.PROMOTED,),
}
"""The steps that come when a rollout has ended, and how it may have."""


def unrecorded(server: ApiServer, change: Change) -> Iterator[str]:
    """What an operator's change says or makes that is not on record."""
    kind, namespace, name = change.key
    if change.type == "DELETED":
        return
    if kind.endswith("/llmdeployments") and not _is_hindered(change.new):
        for rollout, endings in _told(change.new.get("status") or {}):
            record = server.find(CONTROLLER_REVISION, namespace, naming.colour_name(name, rollout))
            if record and controller_uid(record) and outcome(record) not in endings:
                yield f"the status of {name} tells that {rollout} is {endings[0]}, and its record does not"
    if kind.endswith("/replicasets") and change.old is None and _is_wanted(server, change.new):
        made = server.find(CONTROLLER_REVISION, namespace, name)
        deployment, rollout = (labels(change.new)[each] for each in (naming.DEPLOYMENT, naming.ROLLOUT))
        pointer = server.find(CONFIG_MAP, namespace, naming.pointer_name(deployment, rollout))
        if made is None or pointer is None or _recorded(made) != pointed(pointer):
            yield f"{name} is made, and its pointer is not there as its record has it"


def _told(status: Manifest) -> Iterator[tuple[str, tuple[Outcome, ...]]]:
    """The rollouts that a status tells the end of, and how they may have ended by it."""
    moving = status.get("rollout") or {}
    if moving.get("step") in _AFTER:
        yield moving["id"], _AFTER[Step(moving["step"])]
    for each in status.get("history") or ():
        yield each["id"], (Outcome(each["outcome"]),)


def _is_hindered(deployment: Manifest) -> bool:
    """Whether it says that a write was refused: its record's may be the one."""
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return any(each["reason"] == Reason.WRITE_REFUSED for each in conditions)


def _is_wanted(server: ApiServer, child: Manifest) -> bool:
    """Whether its LLMDeployment is there and stays: what is made without it goes as it does."""
    owner = server.find(LLM_DEPLOYMENT, *where_of(child))
    return owner is not None and not terminating(owner) and controller_uid(child) == uid(owner)


def pointed(pointer: Manifest) -> Manifest:
    """What a pointer says; nothing where somebody has made it illegible."""
    return _parsed((pointer.get("data") or {}).get(POINTER_KEY))


def _recorded(record: Manifest) -> Manifest:
    """What its pods are to serve: what they were told since they were made, or were made with."""
    told = _parsed(annotation(record, naming.RELOADED)) or record["data"]
    pointer: Manifest = told["pointer"]
    return pointer


def _parsed(text: str | None) -> Manifest:
    try:
        parsed: Manifest = json.loads(text or "{}")
    except ValueError:
        return {}
    return parsed
