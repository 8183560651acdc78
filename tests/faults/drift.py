"""What others may do to the objects that the operator keeps, and whether it is put right.

`python -m tests.faults.drift 'ReplicaSet chat-8214e38d apply f:spec f:replicas'` replays one; with `away`
in front of it the operator is not there when it happens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.sim.end_state import State, difference, end_state
from tests.sim.faults import Script
from tests.sim.hygiene import Hygiene
from tests.sim.process import NAMESPACE, Installation
from tests.sim.runner import LATER_SECONDS, REST_SECONDS, START_SECONDS, beginning, simulate
from tests.sim.stage import Stage
from tests.sim.truth import untrue

from sluicegate.core.naming import MANAGER
from sluicegate.core.objects import Manifest, controller_uid, name, uid
from sluicegate.kube.client import Client
from sluicegate.kube.resources import (
    CONTROLLER_REVISION,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    REPLICA_SET,
    Resource,
)
from sluicegate.shell.lease import Timing
from sluicegate.shell.view import OWNED

Path = tuple[str, ...]
"""Steps of fieldsV1: `f:name`, `k:{"name": "engine"}`, `v:"text"`."""

SETTLED = "version-change"
REPAIR_SECONDS = 5.0
THEIRS = "theirs"
SLOW_LEASE = Timing(lease=1500, renew_deadline=1000, retry=200)

UPDATE, APPLY, REMOVE, ADD, DELETE = WAYS = ("update", "apply", "remove", "add", "delete")
KINDS = {each.kind: each for each in (*OWNED, MODEL_VERSION)}
_OPEN = ("f:labels", "f:annotations", "f:matchLabels", "f:selector", "f:limits", "f:requests", "f:data")
_KEYS = {"name", "mountPath", "containerPort", "port"}
"""Fields by which the API server tells the items of a list apart."""
_FIELDS: dict[str, tuple[Path, Any]] = {
    "ReplicaSet": (("f:spec", "f:minReadySeconds"), 5),
    "Service": (("f:spec", "f:publishNotReadyAddresses"), True),
    "NetworkPolicy": (("f:spec", "f:egress"), [{}]),
    "ConfigMap": (("f:binaryData", "f:theirs"), "dGhlaXJz"),
}
"""One field of each kind that we leave alone."""
_OTHERWISE = {
    "TCP": "UDP",
    "Ingress": "Egress",
    "ClusterIP": "NodePort",
    "Cluster": "Local",
    "None": "ClientIP",
    "AlwaysAllow": "IfHealthyBudget",
    "HTTP": "HTTPS",
    "IfNotPresent": "Always",
    "ClusterFirst": "Default",
    "File": "FallbackToLogsOnError",
    "FallbackToLogsOnError": "File",
    "RuntimeDefault": "Unconfined",
}


@dataclass(frozen=True)
class Drift:
    """One thing done to one object. Written `ReplicaSet chat-8214e38d remove f:spec f:replicas`."""

    kind: str
    name: str
    way: str
    path: Path = ()

    def __str__(self) -> str:
        return " ".join([self.kind, self.name, self.way, *self.path])

    @property
    def is_kept(self) -> bool:
        """Whether it is an addition that is nobody's business but theirs."""
        return self.way == ADD and self.path[0] == "f:metadata"

    @property
    def ends_pods(self) -> bool:
        """Whether controllers act on it at once: fewer replicas are wanted, or none."""
        whole = self.way == DELETE or (self.way == REMOVE and self.path == ("f:spec", "f:replicas"))
        return self.kind == REPLICA_SET.kind and whole


def drifts(kind: str, way: str) -> list[Drift]:
    """Everything that can be done in a way to the objects of a kind that belong to the settled deployment."""
    found = []
    for obj in _objects(KINDS[kind]):
        for path in dict.fromkeys(_paths(obj, way)):
            found.append(Drift(kind, name(obj), way, path))
    return found


def _objects(kind: Resource) -> list[Manifest]:
    server = beginning(SETTLED, 0).world.server
    owners = {uid(each) for each in server.peek(LLM_DEPLOYMENT)}
    return [each for each in server.peek(kind) if kind is MODEL_VERSION or controller_uid(each) in owners]


def _paths(obj: Manifest, way: str) -> Iterator[Path]:
    if way == DELETE:
        # A ModelVersion is its user's to delete.
        yield from () if obj["kind"] == MODEL_VERSION.kind else ((),)
        return
    for entry in obj["metadata"].get("managedFields") or ():
        if entry["manager"] == MANAGER and "subresource" not in entry:
            nodes = _nodes(entry["fieldsV1"])
            yield from (path for path, node in nodes if _has_place_for(way, path, node))
    if way == ADD:
        yield "f:metadata", "f:finalizers"
        if obj["kind"] in _FIELDS:
            yield _FIELDS[obj["kind"]][0]


def _has_place_for(way: str, path: Path, node: Manifest) -> bool:
    if way == ADD:
        return path[-1] in _OPEN or any(key.startswith("k:") for key in node)
    if way == REMOVE:
        return not node or "." in node
    # In a set, another value is another item, and of a map of which nothing is ours it is theirs.
    return not node and not path[-1].startswith("v:") and path[-1] not in ("f:labels", "f:annotations")


def _nodes(fields: Manifest, path: Path = ()) -> Iterator[tuple[Path, Manifest]]:
    for step, node in fields.items():
        if step != ".":
            yield (*path, step), node
            yield from _nodes(node, (*path, step))


@cache
def _wanted() -> State:
    return _ours(end_state(beginning(SETTLED, 0).world))


def played(drift: Drift, *, away: bool = False) -> list[str]:
    """What went wrong. Raises ApiError where the API server refuses the drift."""
    start = beginning(SETTLED, 0)

    async def perform() -> list[str]:
        world = start.world.fork(start.world.server.fork())
        stage = Stage(world, Script(), Installation(lease=SLOW_LEASE))
        stage.traffic.pause()
        pods = {uid(each) for each in stage.pods()}
        with Hygiene(faulty=False) as hygiene:
            if away:
                await _do(stage, drift)
            async with stage.running():
                await stage.until(lambda: stage.process.leads, START_SECONDS)
                if not away:
                    await asyncio.sleep(0.5)
                    await _do(stage, drift)
                problems = await _judged(stage, drift)
        if pods != {uid(each) for each in stage.pods()} and not drift.ends_pods:
            problems.append("a pod was replaced")
        return [*problems, *hygiene.findings, *stage.invariants.breaches]

    return simulate(perform, start.time)


async def _judged(stage: Stage, drift: Drift) -> list[str]:
    seconds = REPAIR_SECONDS + (REPAIR_SECONDS if drift.ends_pods else 0)
    problems: list[str] = []
    if not await stage.until(lambda: not _differences(stage, drift), seconds):
        problems.append(f"not repaired within {seconds:.0f} s")
        problems += _differences(stage, drift)
    await stage.quiet(REST_SECONDS, 2 * REST_SECONDS)
    before = len(stage.journal.calls)
    await stage.look_again()
    await asyncio.sleep(LATER_SECONDS)
    problems += [f"a write after the end: {each.method} {each.path}" for each in stage.journal.writes(before)]
    live = stage.find(KINDS[drift.kind], drift.name)
    if drift.is_kept and THEIRS not in json.dumps({**live, "managedFields": None} if live else None):
        problems.append("what is theirs is gone")
    return [*problems, *untrue(stage)]


def _differences(stage: Stage, drift: Drift) -> list[str]:
    found, wanted = _ours(end_state(stage.world)), _wanted()
    if found == wanted:
        return []
    # A lost record is made anew of what the ReplicaSet says, with all that the API server filled in there.
    remade = ".data.template" if drift.way == DELETE and drift.kind == CONTROLLER_REVISION.kind else None
    return [each for each in difference(found, wanted) if remade is None or remade not in each]


def _ours(state: State) -> State:
    """Without what is theirs to have."""
    return {
        key: told if key == "pods" else {**told, **{part: _left(told[part]) for part in _SHARED}}
        for key, told in state.items()
        if THEIRS not in key
    }


_SHARED = ("labels", "annotations", "finalizers", "owners", "managers")


def _left(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: text for key, text in part.items() if THEIRS not in key} or None
    return [each for each in part or () if THEIRS not in each] or None


async def _do(stage: Stage, drift: Drift) -> None:
    client, resource = Client(stage.server), KINDS[drift.kind]
    live = await client.get(resource, NAMESPACE, drift.name)
    match drift.way:
        case "delete":
            await client.delete(resource, NAMESPACE, drift.name)
        case "apply":
            await client.apply(_part(live, drift.path), THEIRS, force=True)
        case way:
            edit = {UPDATE: _other, REMOVE: _nothing, ADD: _more(stage, drift)}[way]
            await client.replace(_edited(live, drift.path, edit), THEIRS)


def _part(live: Manifest, path: Path) -> Manifest:
    """An intent of just one field, with another value."""
    part = _only(live, path)
    meta = {**part.get("metadata", {}), "namespace": NAMESPACE, "name": name(live)}
    return {**part, "apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta}


def _only(value: Any, path: Path) -> Any:
    if not path:
        return _other(value)
    kind, _, text = path[0].partition(":")
    if kind == "f":
        return {text: _only(value[text], path[1:])}
    below = _only(value[_place(value, path[0])], path[1:])
    return [{**json.loads(text), **below} if kind == "k" else below]


def _edited(value: Any, path: Path, edit: Callable[[Any], Any]) -> Any:
    """A copy of a JSON value with what stands at the path edited; None removes it."""
    if not path:
        return edit(value)
    kind, _, text = path[0].partition(":")
    if kind == "f":
        new = _edited((value or {}).get(text), path[1:], edit)
        rest = {key: each for key, each in (value or {}).items() if key != text}
        return rest if new is None else {**rest, text: new}
    place = _place(value, path[0])
    new = _edited(value[place], path[1:], edit)
    return [*value[:place], *([] if new is None else [new]), *value[place + 1 :]]


def _place(items: list[Any], step: str) -> int:
    kind, _, text = step.partition(":")
    known = json.loads(text)
    return next(
        place
        for place, item in enumerate(items)
        if (item == known if kind == "v" else known.items() <= item.items())
    )


def _other(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 2
        case str():
            return _OTHERWISE.get(value, f"{value}0")
        case list():
            return [*value, _other(value[-1])]
        case {"controller": True}:
            return {**value, "controller": False}
        case {}:
            return {"medium": "Memory"}
    first = next(iter(value))
    return {**value, first: _other(value[first])}


def _nothing(value: Any) -> None:
    return None


def _more(stage: Stage, drift: Drift) -> Callable[[Any], Any]:
    """What somebody else puts beside ours."""
    if drift.path[-1] == "f:finalizers":
        return lambda value: [*(value or ()), f"example.com/{THEIRS}"]
    if drift.path[-1] == "f:ownerReferences":
        return lambda value: [*value, _another_owner(stage)]
    if (drift.kind, drift.path) in [(kind, path) for kind, (path, _) in _FIELDS.items()]:
        return lambda value: _FIELDS[drift.kind][1]
    if drift.path[-1] in _OPEN:
        return lambda value: {**value, f"example.com/{THEIRS}": "1"}
    return lambda value: [
        *value,
        {**value[-1], **{key: _other(value[-1][key]) for key in _KEYS & value[-1].keys()}},
    ]


def _another_owner(stage: Stage) -> Manifest:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    made = stage.user.create({**head, "metadata": {"namespace": NAMESPACE, "name": THEIRS}})
    return {**head, "name": THEIRS, "uid": uid(made)}


def main(arguments: list[str]) -> int:
    words = " ".join(arguments).removeprefix("away ")
    every = [each for kind in KINDS for way in WAYS for each in drifts(kind, way)]
    chosen = {str(each): each for each in every}.get(words)
    if chosen is None:
        print(__doc__, *every, sep="\n")  # noqa: T201
        return 2
    problems = played(chosen, away=arguments[0] == "away")
    print(*(problems or ["put right"]), sep="\n")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
