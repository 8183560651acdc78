"""What a cluster has come to, without what may differ between two ways to the same end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import is_ready, phase
from tests.sim.world import World

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, labels, terminating, uid
from sluicegate.kube import resources

State = dict[str, Any]

LONGEST_SHOWN = 120

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_SEQUENCE = re.compile(r'\\*"sequence\\*": \d+,(?:\\n)*\s*')
"""How many changes of what pods serve came before is told there, and so how often somebody thought anew."""
_COMPARED = (
    resources.MODEL_VERSION,
    resources.LLM_DEPLOYMENT,
    resources.REPLICA_SET,
    resources.CONTROLLER_REVISION,
    resources.CONFIG_MAP,
    resources.SECRET,
    resources.SERVICE,
    resources.DISRUPTION_BUDGET,
    resources.NETWORK_POLICY,
    resources.JOB,
)
_ACCIDENTAL = ("clusterIP", "clusterIPs")


def end_state(world: World) -> State:
    """By kind and name. Rollouts are called after what they are for.

    Superseded ones are left out: a change of mind that the operator hears of late, or never, leaves none.
    """
    server = world.server
    found: State = {
        f"{kind.kind} {each['metadata'].get('namespace')}/{each['metadata']['name']}": _told(kind, each)
        for kind in _COMPARED
        for each in server.peek(kind)
        if not (kind is resources.CONTROLLER_REVISION and outcome(each) == Outcome.SUPERSEDED)
    }
    found["pods"] = sorted(_pods(world))
    text = _SEQUENCE.sub("", _TIME.sub("<time>", json.dumps(found, sort_keys=True)))
    for rollout, target in _targets(server):
        text = text.replace(rollout, f"<{target}>")
    state: State = json.loads(text)
    return dict(sorted(state.items()))


def difference(found: State, wanted: State) -> list[str]:
    """Each place in which two states differ, with what is there."""
    return [*_differences("", found, wanted)]


def _told(kind: resources.Resource, obj: Manifest) -> State:
    meta = obj["metadata"]
    told = {
        "labels": meta.get("labels"),
        "annotations": _annotations(meta.get("annotations") or {}),
        "finalizers": meta.get("finalizers"),
        "terminating": terminating(obj),
        "owners": [_owner(each) for each in meta.get("ownerReferences") or ()],
        "managers": sorted({each["manager"] for each in meta.get("managedFields") or ()}),
    }
    if kind is resources.SECRET:
        # Made from a uid.
        return {**told, "data": sorted(obj.get("data") or ())}
    if kind is resources.JOB:
        # Uids and addresses are in it.
        return {
            **told,
            "conditions": [each["type"] for each in (obj.get("status") or {}).get("conditions") or ()],
        }
    body = {key: obj[key] for key in ("spec", "data") if key in obj}
    if kind is resources.SERVICE:
        body["spec"] = {key: value for key, value in obj["spec"].items() if key not in _ACCIDENTAL}
    if kind in (resources.LLM_DEPLOYMENT, resources.MODEL_VERSION):
        body["status"] = _status(obj.get("status") or {})
    return {**told, **body}


def _owner(reference: Mapping[str, Any]) -> str:
    controls = ", its controller" if reference.get("controller") else ""
    return f"{reference['kind']} {reference['name']}{controls}"


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    ours = (naming.INTENT, naming.EXPOSED_SINCE)
    return {key: value for key, value in annotations.items() if key not in ours}


def _status(status: Mapping[str, Any]) -> State:
    conditions = {
        each["type"]: [each["status"], each["reason"], each["message"]]
        for each in status.get("conditions") or ()
    }
    # Of an inspection that failed once, the number and the Job are told for ever.
    attempts = ("attempts", "lastAttemptTime", "lastAttemptUid")
    rest = {key: value for key, value in status.items() if key not in ("conditions", "history", *attempts)}
    history = [each for each in status.get("history") or () if each["outcome"] != Outcome.SUPERSEDED]
    return {**rest, "history": history, "conditions": conditions}


def outcome(record: Manifest) -> str | None:
    """How a rollout ended, or None where its record notes nothing legible."""
    try:
        return str(json.loads(annotation(record, naming.OUTCOME) or "")["outcome"])
    except (ValueError, KeyError, TypeError):
        return None


def _pods(world: World) -> Iterator[str]:
    for pod in world.server.peek(resources.POD):
        if phase(pod) in ("Failed", "Succeeded"):
            continue
        runtime = world.runtimes.running.get(uid(pod))
        owner = labels(pod).get(naming.DEPLOYMENT, "")
        serves = f"serves {runtime.version}" if runtime else "serves nothing"
        ready = "ready" if is_ready(pod) else "not ready"
        yield f"{owner}: {ready}, {serves}{', terminating' if terminating(pod) else ''}"


def _targets(server: ApiServer) -> Iterator[tuple[str, str]]:
    for record in server.peek(resources.CONTROLLER_REVISION):
        known = labels(record)
        if naming.ROLLOUT in known and naming.TARGET in known:
            yield known[naming.ROLLOUT], known[naming.TARGET]


def _differences(path: str, found: Any, wanted: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            yield from _differences(f"{path}.{key}" if path else key, found.get(key), wanted.get(key))
    elif found != wanted:
        yield f"{path}: {_brief(found)} instead of {_brief(wanted)}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
