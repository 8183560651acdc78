"""What goes, goes in good order: one thing at a time, and never the last pods that could answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.sim.apiserver import ApiServer
from tests.sim.belongings import Where, belongings, rollout_of, where_of
from tests.sim.clock import now
from tests.sim.cluster.endpoints import answers
from tests.sim.cluster.pods import by_owner
from tests.sim.end_state import outcome
from tests.sim.server.store import Change
from tests.sim.wire import Call, Journal

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, name, terminating, uid
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT, POD

HEARD_SECONDS = 1.0
"""For so long an operator may act as if it had not heard of a lost pod."""


@dataclass(frozen=True)
class Taken:
    """Something that an operator took away from an LLMDeployment, when."""

    at: float
    author: str
    kind: str
    name: str


class Retirements:
    """Told of every change by `heard`; `breaches` judges those that an operator made, `at_once` all of them
    at the end of a run."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._taken: dict[Where, list[Taken]] = {}
        self._silent: dict[tuple[Where, str], float] = {}
        """By rollout, when a pod of it answered last that does not any more."""

    def heard(self, change: Change) -> None:
        if change.key[0] != "v1/pods" or change.old is None or not answers(change.old):
            return
        if change.type == "DELETED" or not answers(change.new):
            self._silent[where_of(change.old), rollout_of(change.old)] = now()

    def breaches(self, change: Change, author: str) -> Iterator[str]:
        where = where_of(change.new)
        deployment = self._server.find(LLM_DEPLOYMENT, *where)
        if deployment is None or terminating(deployment):
            return
        if self._takes(change, deployment):
            self._taken.setdefault(where, []).append(
                Taken(now(), author, change.new["kind"], name(change.new))
            )
        if change.type == "DELETED" and change.key[0] == "apps/v1/replicasets":
            yield from self._last(where, change.new, deployment["spec"].get("replicas", 1))

    def forget(self) -> None:
        """What was taken away so far is judged, or nobody asks."""
        self._taken.clear()

    def at_once(self, journal: Journal) -> Iterator[str]:
        """What was taken away before its author had seen that the former was gone."""
        for taken in self._taken.values():
            for former, latter in pairwise(taken):
                call = next((each for each in journal.calls if _is_of(each, latter)), None)
                if call is not None and former.author == latter.author and not _seen(journal, former, call):
                    yield f"{latter.name} was taken from before it was seen what became of {former.name}"

    def _takes(self, change: Change, deployment: Manifest) -> bool:
        """Whether an object goes, or all pods of a version make room."""
        if change.type == "DELETED":
            return True
        if change.old is None or change.key[0] != "apps/v1/replicasets":
            return False
        before, after = (each["spec"].get("replicas", 1) for each in (change.old, change.new))
        return bool(after == 0 < before and deployment["spec"].get("replicas", 1))

    def _last(self, where: Where, replica_set: Manifest, wanted: int) -> Iterator[str]:
        """Of a version that was good once; the pods of a swap go so that others can come."""
        records = {rollout_of(each): each for each in belongings(self._server, CONTROLLER_REVISION, where)}
        record = records.get(rollout_of(replica_set))
        swaps = any(annotation(each, naming.SWAPS) is not None for each in records.values())
        if not wanted or swaps or record is None or outcome(record) != Outcome.PROMOTED:
            return
        own = by_owner(self._server.peek(POD)).get(uid(replica_set), [])
        pods = [pod for pod in belongings(self._server, POD, where) if pod not in own]
        lost = [at for (of, rollout), at in self._silent.items() if of == where and rollout in records]
        just_now = any(now() - at <= HEARD_SECONDS for at in lost)
        if any(map(answers, own)) and not any(map(answers, pods)) and not just_now:
            yield f"{name(replica_set)} was removed, and nobody else could answer"


def _is_of(call: Call, taken: Taken) -> bool:
    return call.is_write and call.at == taken.at and call.path.endswith(f"/{taken.name}")


def _seen(journal: Journal, former: Taken, call: Call) -> bool:
    """Whether whoever sent the call could know: a watch had told it by then, or it had looked."""
    looked = (
        each.sender == call.sender and not each.is_write and former.at <= each.at <= call.sent
        for each in journal.calls
    )
    lines = (each for each in journal.lines if former.at <= each.at <= call.sent)
    return any(looked) or any(str(each).endswith(f" {former.kind} {former.name}") for each in lines)
