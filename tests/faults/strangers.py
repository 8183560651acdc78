"""What others do to an object the moment that a request of the operator about it is on its way.

`python -m tests.faults.strangers create 'takes the name' 12` replays one: what somebody does just before the
request of this number arrives.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from tests.sim.faults import Channel
from tests.sim.runner import Run, numbers, play
from tests.sim.server.store import Key
from tests.sim.stage import Stage
from tests.sim.wire import Call

from sluicegate.api.reasons import Reason
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, condition, terminating
from sluicegate.core.template import POINTER_KEY
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, RESOURCES, Resource

HELD_SECONDS = 8.0
PATIENCE_SECONDS = 2 * HELD_SECONDS
STRANGER = "stranger"
MARK = f"example.com/{STRANGER}"
OWN = ("/leases", "/events")
SUBJECTS = (MODEL_VERSION, LLM_DEPLOYMENT)
ALLOCATED = ("clusterIP", "clusterIPs")
OUTAGE = " requests failed from "
KINDS = {f"{each.api_version}/{each.plural}": each for each in RESOURCES.values()}


@dataclass(frozen=True)
class Request:
    """One that the operator makes where nobody meddles, and the object that it is about: as the request
    left it, if that wrote it."""

    number: int
    method: str
    key: Key
    left: Manifest | None

    @property
    def kind(self) -> Resource:
        return KINDS[self.key[0]]


@cache
def requests(workload: str) -> tuple[Request, ...]:
    """Those about one object, its status left out, after the change.

    Raises AssertionError where all is not well though nobody meddles.
    """
    stages: list[Stage] = []
    result = play(Run(workload), None, stages.append)
    assert not result.problems, [workload, *result.problems]
    made = {(each.at, each.change.key[0]): each.change for each in stages[0].invariants.effects}
    after = numbers(result, Channel.CALL)
    found = []
    for call in result.journal.calls:
        if call.channel is Channel.CALL and call.number in after and call.method not in ("LIST", "WATCH"):
            kind, _, name = _parts(call)
            change = made.get((call.at, kind))
            if not kind.endswith(OWN) and not call.path.endswith("/status") and (name or change):
                key = change.key if change else _parts(call)
                left = change.new if change and change.type != "DELETED" else None
                found.append(Request(call.number, call.method, key, left))
    return tuple(found)


def _parts(call: Call) -> Key:
    """Kind, namespace and name in a path; no name in that of a collection."""
    head, _, rest = call.path.partition("/namespaces/")
    namespace, plural, *name = rest.split("/")
    return f"{head.removeprefix('/apis/').removeprefix('/api/')}/{plural}", namespace, "".join(name[:1])


class Stranger:
    """What somebody does at one request. `problems` says what came of it that should not."""

    def __init__(self, way: str, request: Request) -> None:
        self._act = WAYS[way]
        self._request = request
        self.problems: list[str] = []

    def disturb(self, stage: Stage) -> None:
        self._stage = stage
        self._theirs = stage.server.hand(STRANGER)
        stage.script.at(Channel.CALL, self._request.number, partial(self._act, self))

    def marks_it(self) -> None:
        """Puts a finalizer, a label and an annotation on it, and takes the finalizer off later."""
        live = self._live()
        if live is not None and not terminating(live):
            self._mark([*(live["metadata"].get("finalizers") or ()), MARK])
            self._later(self._unmark)

    def deletes_it(self) -> None:
        if self._live() is not None:
            self._theirs.delete(self._request.kind, *self._request.key[1:], grace_seconds=0)

    def takes_the_name(self) -> None:
        """Has an object of its own there, in the place of ours where that is there, and removes it later."""
        before = self._request.left or self._live()
        if before is not None:
            self.deletes_it()
            self._theirs.create(_as_theirs(before))
            self._later(self._gives_the_name_back)

    def restores_a_copy(self) -> None:
        """Makes it before the operator does, as an earlier one had, which is not as it is meant now."""
        if self._request.left is not None and self._live() is None:
            self._stage.server.hand(naming.MANAGER).create(_as_it_was(self._request.left))

    def _unmark(self) -> None:
        live = self._live()
        finalizers = (live["metadata"].get("finalizers") or ()) if live else ()
        if MARK in finalizers:
            self._mark([each for each in finalizers if each != MARK])

    def _mark(self, finalizers: list[str]) -> None:
        marks = {"labels": {MARK: "1"}, "annotations": {MARK: "1"}, "finalizers": finalizers}
        self._theirs.patch(self._request.kind, *self._request.key[1:], {"metadata": marks})

    def _gives_the_name_back(self) -> None:
        ready = [
            condition(each, "Ready") or {} for kind in SUBJECTS for each in self._stage.server.peek(kind)
        ]
        told = any(each.get("reason") == Reason.NAME_CONFLICT for each in ready)
        if self._request.method == "POST" and not told:
            self.problems.append("no status says that the name is taken")
        self.deletes_it()

    def _live(self) -> Manifest | None:
        return self._stage.server.find(self._request.kind, *self._request.key[1:])

    def _later(self, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(HELD_SECONDS, act)


MARKS, DELETES, TAKES, COPIES = "marks it", "deletes it", "takes the name", "restores a copy"
WAYS = {
    MARKS: Stranger.marks_it,
    DELETES: Stranger.deletes_it,
    TAKES: Stranger.takes_the_name,
    COPIES: Stranger.restores_a_copy,
}


def points(workload: str, way: str) -> list[Request]:
    """The requests at which somebody does this. Custom resources are their users' to delete."""
    found = requests(workload)
    if way == MARKS:
        return [each for each in found if each.method not in ("POST", "GET")]
    ours = [each for each in found if each.kind not in SUBJECTS]
    if way == COPIES:
        return [each for each in ours if each.method == "POST"]
    return [each for each in ours if way == TAKES or each.method != "POST"]


def problems(workload: str, way: str, request: Request) -> list[str]:
    """What goes wrong, but for requests that failed since there was nobody to answer them any more."""
    stranger = Stranger(way, request)
    found = play(Run(workload), None, stranger.disturb, PATIENCE_SECONDS).problems
    return [*(each for each in found if OUTAGE not in each), *stranger.problems]


def _as_theirs(ours: Manifest) -> Manifest:
    """An object of that kind and name which is about nothing of ours, and does nothing."""
    meta = {key: ours["metadata"][key] for key in ("namespace", "name")}
    spec = {key: each for key, each in ours.get("spec", {}).items() if key not in ALLOCATED}
    idle: dict[str, dict[str, Any]] = {
        "ReplicaSet": {"replicas": 0},
        "Job": {"suspend": True},
        "Service": {"selector": {"app": "it"}},
    }
    spec |= idle.get(ours["kind"], {})
    return {**_content(ours), "metadata": meta, **({"spec": spec} if spec else {})}


def _as_it_was(ours: Manifest) -> Manifest:
    """What an operator made once that meant something else by it."""
    meta = {key: ours["metadata"][key] for key in ("namespace", "name", "labels", "ownerReferences")}
    notes = {**ours["metadata"]["annotations"], naming.INTENT: "0badc0de"}
    data = {"data": {POINTER_KEY: "{}"}} if ours["kind"] == "ConfigMap" else {}
    return {**_content(ours), **data, "metadata": {**meta, "annotations": notes}}


def _content(obj: Manifest) -> Manifest:
    return {key: each for key, each in obj.items() if key not in ("metadata", "status")}


def main(arguments: list[str]) -> int:
    workload, way, number = arguments
    request = next(each for each in points(workload, way) if each.number == int(number))
    found = problems(workload, way, request)
    print(*(found or ["all is well"]), sep="\n")  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
