"""A cluster without an operator: controllers, scheduler, kubelets and runtimes beside an API server.

They act on what is stored, a few hundredths of a second after it changes, and remember only what a real
one would: a kubelet its pods, kube-proxy its table. All chance comes from one seed.
"""

from __future__ import annotations

import asyncio
import math
import random
from urllib.parse import urlsplit

from tests.sim.apiserver import ApiServer
from tests.sim.clock import now
from tests.sim.cluster.endpoints import Endpoints
from tests.sim.cluster.jobs import Jobs
from tests.sim.cluster.kubelet import Kubelet
from tests.sim.cluster.namespaces import Namespaces
from tests.sim.cluster.nodes import Nodes
from tests.sim.cluster.replica_sets import ReplicaSets
from tests.sim.cluster.runtime import Runtime, Runtimes
from tests.sim.cluster.scheduler import Scheduler

from sluicegate.core.objects import Manifest
from sluicegate.core.plan import Ask, CancelReload, Consult, Inquire, Reload, Score
from sluicegate.shell.pods import NoAnswer, Report, Scored
from sluicegate.shell.webhooks import Said

REACTION_SECONDS = (0.01, 0.06)
ANSWER_SECONDS = (0.01, 0.04)
FOREVER = 1e9

VLLM = "0.32.0"
LIKELY, UNLIKELY = -0.5, -9.0
"""Log-probability of every token, in nats, and of one to a version that is not what was recorded."""
NATS = {"wrong": UNLIKELY, "nan": math.nan}
"""By trouble, of the version that answers."""

UNREACHABLE = "the connection was refused or could not be made"


class World:
    """Runs beside `server` until `run` is cancelled. It is also how an operator reaches model pods, and
    webhooks."""

    def __init__(self, server: ApiServer, seed: int) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.nodes = Nodes(server)
        self.runtimes = Runtimes(server)
        self.endpoints = Endpoints(server)
        self.kubelet = Kubelet(server, self.runtimes, self.chance, self.nodes.alive)
        self.measured: dict[str, Manifest] = {}
        """By version, what each of its pods tells of its answers."""
        self._answered: set[tuple[str, str]] = set()
        self._told_at: dict[str, float] = {}
        self._scored: set[str] = set()
        self._replica_sets = ReplicaSets(server, self.chance)
        self._jobs = Jobs(server, self.chance)
        self._scheduler = Scheduler(server)
        self._namespaces = Namespaces(server)

    def fork(self, server: ApiServer) -> World:
        """The same world beside a fork of its API server."""
        other = World(server, 0)
        other.chance.setstate(self.chance.getstate())
        other.nodes.silent = dict(self.nodes.silent)
        other.runtimes.take_over(self.runtimes)
        other.endpoints.take_over(self.endpoints)
        other.kubelet.take_over(self.kubelet)
        other.measured = dict(self.measured)
        other._answered = set(self._answered)
        other._told_at = dict(self._told_at)
        other._scored = set(self._scored)
        return other

    async def run(self) -> None:
        while True:
            seen = self.server.store.version
            due = self._turn()
            if self.server.store.version == seen:
                await self.server.store.news(max(0.001, due - now()))
            await asyncio.sleep(self.chance.uniform(*REACTION_SECONDS))

    def lose(self, node: str) -> None:
        """Nobody hears of the node any more: what runs on it is out of reach."""
        self.nodes.silent[node] = now()

    def find_again(self, node: str) -> None:
        """The node is back, with its pods as they were."""
        del self.nodes.silent[node]
        self.nodes.recover()

    async def generate(self, ask: Ask) -> str:
        """One token through a Service. Raises NoAnswer."""
        await asyncio.sleep(self.chance.uniform(*ANSWER_SECONDS))
        runtime = self.reached(urlsplit(ask.url).hostname or "")
        self._answered.add((runtime.address, runtime.version))
        return runtime.version

    def has_answered(self, runtime: Runtime) -> bool:
        """Whether it has generated a token with what it serves."""
        return (runtime.address, runtime.version) in self._answered

    async def score(self, score: Score) -> Scored:
        """What whoever a Service reaches makes of texts. Raises NoAnswer."""
        await asyncio.sleep(self.chance.uniform(*ANSWER_SECONDS))
        version = self.reached(urlsplit(score.url).hostname or "").version
        trouble = self.kubelet.trouble.get(version, "")
        if trouble == "elsewhere" and version not in self._scored:
            self._scored.add(version)
            return _scored(score, self._another_than(version), UNLIKELY)
        return _scored(score, version, NATS.get(trouble, LIKELY))

    def _another_than(self, version: str) -> str:
        """A version that runs beside it."""
        others = {each.version for each in self.runtimes.running.values()} - {version}
        return min(others, default=version)

    async def consult(self, consult: Consult) -> Said:
        """What the webhook of all says of a version."""
        await asyncio.sleep(self.chance.uniform(*ANSWER_SECONDS))
        unwelcome = self.kubelet.trouble.get(consult.question["version"]) == "unwelcome"
        return Said(403, "not on a Friday") if unwelcome else Said(204)

    async def report(self, inquire: Inquire) -> Report:
        """What one pod's control port says. Raises NoAnswer."""
        try:
            return self._told(await self._controlled(inquire))
        finally:
            self._told_at[urlsplit(inquire.url).hostname or ""] = now()

    def told_at(self, address: str) -> float:
        """When a pod was asked last what it serves and has measured, whether or not it could answer."""
        return self._told_at.get(address, -math.inf)

    async def reload(self, reload: Reload) -> Report:
        """Tells one pod to change what it serves. Raises NoAnswer."""
        runtime = await self._controlled(reload)
        refused = self.runtimes.order(runtime, reload.body, now())
        if refused is not None:
            raise NoAnswer(refused)
        return self._told(await self._controlled(reload))

    async def cancel(self, cancel: CancelReload) -> Report:
        """Tells one pod to change to nothing. Raises NoAnswer."""
        self.runtimes.cancel(await self._controlled(cancel))
        return self._told(await self._controlled(cancel))

    async def _controlled(self, call: Inquire | Reload | CancelReload) -> Runtime:
        """The runtime at whose control port a call arrives. Raises NoAnswer."""
        await asyncio.sleep(self.chance.uniform(*ANSWER_SECONDS))
        self.runtimes.sync(now(), self.kubelet.trouble)
        runtime = self._alive(urlsplit(call.url).hostname or "")
        if runtime is None:
            raise NoAnswer(UNREACHABLE)
        if runtime.token != call.token:
            raise NoAnswer("HTTP 401 Unauthorized")
        return runtime

    def _told(self, runtime: Runtime) -> Report:
        engine = runtime.engine
        versions = {*engine.served, runtime.version} & self.measured.keys()
        return Report(
            runtime.digest,
            ready=True,
            in_flight=0,
            vllm=VLLM,
            measured={version: self.measured[version] for version in versions},
            version=runtime.version,
            sequence=engine.sequence,
            reload=engine.told(),
        )

    def reached(self, address: str) -> Runtime:
        """Who answers a new connection to a Service's address now, or to a pod's. Raises NoAnswer."""
        self.runtimes.sync(now(), self.kubelet.trouble)
        runtime = self._alive(self.endpoints.reached(address, now(), self.chance) or address)
        if runtime is None:
            raise NoAnswer(UNREACHABLE)
        return runtime

    def _alive(self, address: str) -> Runtime | None:
        runtime = self.runtimes.at(address)
        return runtime if runtime is not None and self.nodes.alive(runtime.node) else None

    def _turn(self) -> float:
        """Everybody acts once; returns when time alone changes something next."""
        moment = now()
        moments = [
            self.nodes.sync(moment),
            self.runtimes.sync(moment, self.kubelet.trouble),
            self.kubelet.sync(moment),
        ]
        self._jobs.sync()
        self._replica_sets.sync()
        self._scheduler.sync()
        self._namespaces.sync()
        self.endpoints.sync(moment)
        return min((each for each in moments if each is not None), default=FOREVER)


def _scored(score: Score, version: str, nats: float) -> Scored:
    return Scored(version, {text.name: (nats,) * len(text.tokens) for text in score.texts})
