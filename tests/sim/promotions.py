"""What a promotion promises: its version served alone for as long as was asked, and its pods were heard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from tests.sim.apiserver import loop_time
from tests.sim.belongings import Where, belongings, rollout_of, where_of
from tests.sim.clock import now
from tests.sim.cluster.endpoints import answers
from tests.sim.cluster.pods import by_owner
from tests.sim.end_state import outcome
from tests.sim.server.store import Change
from tests.sim.world import World

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, condition, name, terminating, uid
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT, POD, REPLICA_SET

KNOWN = timedelta(seconds=2)
"""A pod that has been ready for as long is known to be; Kubernetes tells times to the second."""


class Promotions:
    """Told of every change by `heard`; `breaches` judges those that an operator made.

    Only new pods are judged, not those that change in place, and not where others made room for them: these
    are promoted as soon as they answer. `on_time` says whether the clocks of all operators are right.
    """

    def __init__(self, world: World, on_time: Callable[[], bool]) -> None:
        self._world = world
        self._server = world.server
        self._on_time = on_time
        self._shown: dict[Where, tuple[str | None, float]] = {}
        """The rollout whose pods alone the Service selects, and since when."""

    def heard(self, change: Change) -> None:
        if change.key[0] != "v1/services" or change.key[1:] != where_of(change.new):
            return
        shown = _selected(change.new)
        if change.old is None or shown != _selected(change.old):
            self._shown[where_of(change.new)] = shown, now()

    def breaches(self, change: Change) -> Iterator[str]:
        if not _promotes(change) or not self._on_time():
            return
        where, rollout = where_of(change.new), rollout_of(change.new)
        shown, since = self._shown.get(where, (rollout, -math.inf))
        seconds = self._asked_for(where)
        if not seconds or shown != rollout or not self._has_predecessor(where, rollout):
            return
        if now() - since < seconds:
            yield f"rollout {rollout} is promoted after {now() - since:.1f} s, not observed for {seconds} s"
        for pod in self._ready_pods(where):
            if self._world.told_at(pod["status"]["podIP"]) < since:
                yield f"rollout {rollout} is promoted, and {name(pod)} was not heard since it serves"

    def _asked_for(self, where: Where) -> int:
        """For how many seconds a rollout with pods is to be observed."""
        deployment = self._server.find(LLM_DEPLOYMENT, *where)
        if deployment is None or terminating(deployment) or not deployment["spec"].get("replicas", 1):
            return 0
        return int(deployment["spec"].get("rollout", {}).get("observeSeconds", 60))

    def _has_predecessor(self, where: Where, rollout: str) -> bool:
        """Whether there is another one that was promoted, and can serve again."""
        there = {rollout_of(each) for each in belongings(self._server, REPLICA_SET, where)}
        records = belongings(self._server, CONTROLLER_REVISION, where)
        promoted = {rollout_of(each) for each in records if outcome(each) == Outcome.PROMOTED}
        return bool(there & promoted - {rollout})

    def _ready_pods(self, where: Where) -> Iterator[Manifest]:
        pods = by_owner(self._server.peek(POD))
        for replica_set in belongings(self._server, REPLICA_SET, where):
            for pod in pods.get(uid(replica_set), ()):
                since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
                if answers(pod) and since and loop_time() - datetime.fromisoformat(since) > KNOWN:
                    yield pod


def _promotes(change: Change) -> bool:
    if change.old is None or not change.key[0].endswith("/controllerrevisions"):
        return False
    swaps = annotation(change.old, naming.SWAPS) is not None
    return outcome(change.old) is None and outcome(change.new) == Outcome.PROMOTED and not swaps


def _selected(service: Manifest) -> str | None:
    rollout: str | None = (service["spec"].get("selector") or {}).get(naming.ROLLOUT)
    return rollout
