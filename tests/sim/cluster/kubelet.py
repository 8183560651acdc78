"""The kubelets: a pod's life from its image to its end, as its status tells it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from tests.builders import tried_version
from tests.sim.apiserver import ApiServer
from tests.sim.cluster import containers
from tests.sim.cluster.pods import Status, node_of, phase, with_condition
from tests.sim.cluster.runtime import Runtimes

from sluicegate.core.objects import Manifest, condition, name, terminating, uid
from sluicegate.kube.resources import POD

OF_PODS = (
    "crash",
    "hang",
    "wrong",
    "nan",
    "elsewhere",
    "refused",
    "unwelcome",
    "restart-required",
    "rolled-back",
)
"""Troubles that an inspection does not see."""


class Stage(Enum):
    PULLING = "ContainerCreating"
    FETCHING = "the sidecar fetches files"
    LOADING = "the engine starts"
    READY = "serving"
    OVER = "ended"


@dataclass(frozen=True)
class Life:
    """Where a pod is on its way, and when it goes on. `restarts` are of its engine."""

    stage: Stage
    due: float
    restarts: int = 0
    drained_at: float | None = None


@dataclass(frozen=True)
class Pace:
    """Seconds, each the shortest and the longest.

    A runtime drains for longer than it takes kube-proxy to learn of it.
    """

    pull: tuple[float, float] = (0.2, 1.0)
    fetch: tuple[float, float] = (0.3, 1.5)
    load: tuple[float, float] = (0.5, 2.0)
    inspect: tuple[float, float] = (0.5, 2.0)
    drain: tuple[float, float] = (1.2, 2.5)
    back_off: float = 10.0


class Kubelet:
    """`alive(node)` says whose pods it may act on. `trouble` is by the name of a ModelVersion: "crash",
    "hang" (never ready), "wrong" (answers otherwise than was recorded), "nan" (computes no numbers),
    "elsewhere" (golden prompts come to a pod of another version at first, as kube-proxy lags), "refused" (by
    its verification Job), "unwelcome" (to its webhook), "restart-required" or "rolled-back" (by pods that are
    to change to it), or for inspections a termination message.
    """

    def __init__(
        self, server: ApiServer, runtimes: Runtimes, chance: random.Random, alive: Callable[[str], bool]
    ) -> None:
        self._server = server
        self._hand = server.hand("kubelet")
        self._runtimes = runtimes
        self._chance = chance
        self._alive = alive
        self.pace = Pace()
        self.lives: dict[str, Life] = {}
        self.trouble: dict[str, str] = {}

    def sync(self, now: float) -> float | None:
        """Returns when a pod goes on next."""
        pods = {uid(pod): pod for pod in self._server.peek(POD)}
        for gone in self.lives.keys() - pods.keys():
            del self.lives[gone]
            self._runtimes.gone(gone)
        for pod in self._mine(pods):
            if terminating(pod):
                self._end(pod, now)
            elif phase(pod) not in ("Failed", "Succeeded"):
                self._live(pod, now)
        return min((life.due for life in self.lives.values() if life.due > now), default=None)

    def take_over(self, other: Kubelet) -> None:
        """Go on where another one was."""
        self.pace, self.lives, self.trouble = other.pace, dict(other.lives), dict(other.trouble)

    def crash(self, pod: Manifest, reason: str, now: float) -> None:
        """Its engine ends, and starts again after a back-off."""
        life = self.lives[uid(pod)]
        self._runtimes.stopped(uid(pod))
        self._restart(pod, life, reason, now)

    def evict(self, pod: Manifest, message: str) -> None:
        """The node runs out of something: the pod ends as Failed, and stays as a record."""
        self._runtimes.stopped(uid(pod))
        self.lives.pop(uid(pod), None)
        ended = {"phase": "Failed", "reason": "Evicted", "message": message}
        status = with_condition({**pod, "status": {**pod["status"], **ended}}, "Ready", "False", self._now())
        self._write(pod, status)

    def _mine(self, pods: Mapping[str, Manifest]) -> Iterator[Manifest]:
        for pod in pods.values():
            node = node_of(pod)
            if node is not None and self._alive(node):
                yield pod

    def _live(self, pod: Manifest, now: float) -> None:
        life = self.lives.get(uid(pod))
        if life is None:
            # A kubelet that was away finds its pods as they are.
            stage = Stage.READY if self._runtimes.runs(uid(pod)) else Stage.PULLING
            life = self.lives[uid(pod)] = Life(
                stage, now if stage is Stage.READY else self._in(self.pace.pull, now)
            )
            if stage is Stage.PULLING:
                self._write(pod, containers.creating(pod, self._now()))
        elif life.due > now:
            return
        elif containers.is_inspection(pod) or containers.is_trial(pod):
            self._run_once(pod, life, now)
        else:
            self._go_on(pod, life, now)

    def _go_on(self, pod: Manifest, life: Life, now: float) -> None:
        match life.stage:
            case Stage.PULLING if self._runtimes.mountable(pod):
                self._step(pod, life, Stage.FETCHING, self._in(self.pace.fetch, now))
                self._write(pod, containers.fetching(pod, self._runtimes.address(pod), self._now()))
            case Stage.PULLING:
                self._step(pod, life, Stage.PULLING, now + 1.0)
            case Stage.FETCHING:
                self._step(pod, life, Stage.LOADING, self._in(self.pace.load, now))
                self._write(pod, containers.loading(pod, life.restarts, self._now()))
            case Stage.LOADING:
                self._loaded(pod, life, now)
            case Stage.READY:
                # Its readiness was taken away while its node was silent.
                if (condition(pod, "Ready") or {}).get("status") != "True":
                    self._write(pod, with_condition(pod, "Ready", "True", self._now()))

    def _loaded(self, pod: Manifest, life: Life, now: float) -> None:
        trouble = self.trouble.get(self._runtimes.version_for(pod))
        if trouble == "crash":
            self._restart(pod, life, "Error", now)
        elif trouble == "hang":
            self._step(pod, life, Stage.LOADING, now + 5.0)
        else:
            self._runtimes.started(pod)
            self._step(pod, life, Stage.READY, now)
            self._write(pod, containers.serving(pod, life.restarts, self._now()))

    def _restart(self, pod: Manifest, life: Life, reason: str, now: float) -> None:
        restarts = life.restarts + 1
        back_off = self.pace.back_off * 2 ** min(restarts - 1, 5)
        self.lives[uid(pod)] = Life(Stage.FETCHING, now + back_off, restarts)
        self._write(pod, containers.crashed(pod, restarts, reason, self._now()))

    def _run_once(self, pod: Manifest, life: Life, now: float) -> None:
        """A Job's pod: it is at it for a while, and ends."""
        if life.stage is Stage.PULLING:
            self._step(pod, life, Stage.LOADING, self._in(self.pace.inspect, now))
            self._write(pod, containers.running(pod, self._now()))
            return
        self._step(pod, life, Stage.OVER, now)
        self._write(pod, self._tried(pod) if containers.is_trial(pod) else self._inspected(pod))

    def _inspected(self, pod: Manifest) -> Status:
        version = containers.inspected(pod)
        trouble = self.trouble.get(version)
        message = None if trouble in OF_PODS else trouble
        return containers.inspection_ended(pod, version, message, self._now())

    def _tried(self, pod: Manifest) -> Status:
        fails = self.trouble.get(tried_version(pod)) == "refused"
        return containers.trial_ended(pod, int(fails), "it says something else" if fails else "")

    def _end(self, pod: Manifest, now: float) -> None:
        """SIGTERM: not ready at once, serving on for a while, then gone."""
        life = self.lives.get(uid(pod)) or Life(Stage.OVER, now)
        if life.drained_at is None:
            drained = self._in(self.pace.drain, now) if life.stage is Stage.READY else now
            life = self.lives[uid(pod)] = replace(life, due=drained, drained_at=drained)
            if (condition(pod, "Ready") or {}).get("status") == "True":
                self._write(pod, with_condition(pod, "Ready", "False", self._now()))
        if life.drained_at is not None and now >= life.drained_at:
            where = pod["metadata"]
            self._hand.delete(POD, where["namespace"], name(pod), grace_seconds=0)

    def _step(self, pod: Manifest, life: Life, stage: Stage, due: float) -> None:
        self.lives[uid(pod)] = replace(life, stage=stage, due=due)

    def _in(self, seconds: tuple[float, float], now: float) -> float:
        return now + self._chance.uniform(*seconds)

    def _now(self) -> str:
        return self._server.timestamp()

    def _write(self, pod: Manifest, status: Status) -> None:
        where = pod["metadata"]
        patch: dict[str, Any] = {"status": status}
        self._hand.patch(POD, where["namespace"], name(pod), patch, subresource="status")
