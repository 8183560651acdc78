"""What never happens where pods make room for those of another version, judged at each write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from tests.sim.apiserver import ApiServer, loop_time
from tests.sim.belongings import Where, belongings, rollout_of, where_of
from tests.sim.cluster.pods import accelerators, node_of, phase
from tests.sim.server.store import Change

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, condition, name
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT, POD, REPLICA_SET

TRIED = timedelta(seconds=30)
"""For as long the scheduler finds no room before SurgeThenSwap has old pods make some: users are told so."""


class Swaps:
    """`breaches` judges a change that an operator made."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def breaches(self, change: Change) -> Iterator[str]:
        where = where_of(change.new)
        deployment = self._server.find(LLM_DEPLOYMENT, *where)
        if deployment is None or change.type == "DELETED":
            return
        plural = change.key[0].rpartition("/")[2]
        if plural == "controllerrevisions" and _begins(change):
            yield from self._hasty(deployment, change.new)
        if plural == "replicasets" and change.old is not None:
            before, after = _wanted(change.old), _wanted(change.new)
            if after == 0 < before and deployment["spec"].get("replicas", 1) and not self._swaps(where):
                yield f"pods of {name(change.new)} make room, and no record says so"
            if after > before and self._swaps(where):
                yield from self._crowded(where, change.new)

    def _swaps(self, where: Where) -> bool:
        """Whether a record says so of a rollout of which there are pods, or will be."""
        there = {
            rollout_of(each) for kind in (REPLICA_SET, POD) for each in belongings(self._server, kind, where)
        }
        records = belongings(self._server, CONTROLLER_REVISION, where)
        return any(
            annotation(each, naming.SWAPS) is not None and rollout_of(each) in there for each in records
        )

    def _hasty(self, deployment: Manifest, record: Manifest) -> Iterator[str]:
        """SurgeThenSwap is a last resort."""
        if deployment["spec"].get("rollout", {}).get("strategy") == "Swap":
            return
        pods = belongings(self._server, POD, where_of(record))
        waits = [_waits(pod) for pod in pods if rollout_of(pod) == rollout_of(record)]
        longest = max(waits, default=timedelta(0))
        if longest < TRIED:
            yield f"old pods make room for {name(record)}, which has waited for it for {longest.seconds} s"

    def _crowded(self, where: Where, replica_set: Manifest) -> Iterator[str]:
        """New pods come when those that make room have ended."""
        for pod in belongings(self._server, POD, where):
            if rollout_of(pod) != rollout_of(replica_set) and _holds(pod):
                yield f"{name(replica_set)} gets pods while {name(pod)} holds accelerators"


def _begins(change: Change) -> bool:
    noted = change.old is not None and annotation(change.old, naming.SWAPS) is not None
    return annotation(change.new, naming.SWAPS) is not None and not noted


def _wanted(replica_set: Manifest) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _waits(pod: Manifest) -> timedelta:
    """For how long the scheduler has found no node with room for it."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] != "False":
        return timedelta(0)
    return loop_time() - datetime.fromisoformat(scheduled["lastTransitionTime"])


def _holds(pod: Manifest) -> bool:
    """Of one that should have ended by now nobody knows: its node is silent."""
    until = pod["metadata"].get("deletionTimestamp")
    overdue = until is not None and datetime.fromisoformat(until) < loop_time()
    runs = node_of(pod) is not None and phase(pod) not in ("Failed", "Succeeded")
    return runs and bool(accelerators(pod)) and not overdue
