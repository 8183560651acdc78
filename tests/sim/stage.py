"""A cluster with an operator in it, and what users do and see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.builders import ADeployment
from tests.sim.apiserver import ApiServer
from tests.sim.clock import now
from tests.sim.cluster.pods import active
from tests.sim.faults import Script
from tests.sim.invariants import Invariants
from tests.sim.process import HOME, NAMESPACE, Installation, OperatorProcess
from tests.sim.server.kinds import read_crds
from tests.sim.server.rights import Rights
from tests.sim.server.store import Change
from tests.sim.traffic import Traffic
from tests.sim.wire import Journal
from tests.sim.world import World

from sluicegate.core.objects import Manifest, condition, is_true
from sluicegate.kube.resources import LLM_DEPLOYMENT, POD, Resource

CRDS = read_crds(Path(__file__).parents[2] / "crds")
MANIFESTS = Path(__file__).parents[2] / "manifests" / "kustomize" / "base"
USER = f"system:serviceaccount:{HOME}:sluicegate-operator"
NODES = ("node-a", "node-b")
ACCELERATORS = "4"


class Stage:
    """One cluster. Users are `user`; the operator has one replica unless `another` is added."""

    def __init__(self, world: World, script: Script, installation: Installation | None = None) -> None:
        self.world = world
        self.server = world.server
        self.user = world.server.hand("kubectl")
        self.script = script
        self.journal = Journal()
        self.invariants = Invariants(world, lambda: not any(each.skew for each in self.processes))
        self.traffic = Traffic(world)
        self.processes: list[OperatorProcess] = []
        self.another(installation or Installation())
        self.changed_at = 0.0
        self.server.store.listeners.append(self._changed)

    @classmethod
    def empty(cls, seed: int = 0) -> Stage:
        """A cluster with two nodes of four accelerators each, and nothing in it."""
        rights = Rights.read(MANIFESTS, HOME)
        world = World(ApiServer(CRDS, namespaces=(NAMESPACE, HOME), rights=rights), seed)
        for node in NODES:
            world.nodes.add(node, **{"nvidia.com/gpu": ACCELERATORS})
        return cls(world, Script())

    def another(self, installation: Installation) -> OperatorProcess:
        """Add a replica of the operator, before it all runs."""
        way = self.server.as_user(USER)
        process = OperatorProcess(
            self.world, self.script, self.journal, installation, way, self.invariants.writing
        )
        self.processes.append(process)
        return process

    @property
    def process(self) -> OperatorProcess:
        """The first replica."""
        return self.processes[0]

    @property
    def is_manned(self) -> bool:
        """Whether the first replica leads, and all the others stand by."""
        return self.process.leads and all(each.is_warm for each in self.processes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The world and every replica run."""
        parts = [self.world.run(), self.traffic.run(), *(each.run() for each in self.processes)]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def create(self, obj: Manifest) -> None:
        """Create an object in the operator's namespace, as a user does."""
        meta = {key: obj["metadata"][key] for key in ("name", "annotations") if key in obj["metadata"]}
        self.user.create({**obj, "metadata": {**meta, "namespace": NAMESPACE}})

    def patch(self, kind: Resource, name: str, patch: Manifest, subresource: str = "") -> None:
        self.user.patch(kind, NAMESPACE, name, patch, subresource=subresource)

    def edit(self, name: str = "chat", **spec: Any) -> None:
        """Change an LLMDeployment's spec."""
        self.patch(LLM_DEPLOYMENT, name, {"spec": spec})

    def delete(self, kind: Resource, name: str, **options: Any) -> None:
        self.user.delete(kind, NAMESPACE, name, **options)

    def find(self, kind: Resource, name: str) -> Manifest | None:
        return self.server.find(kind, NAMESPACE, name)

    def names(self, kind: Resource) -> list[str]:
        return [each["metadata"]["name"] for each in self.server.peek(kind) if _here(each)]

    def pods(self) -> list[Manifest]:
        """Those that are to stay, by name."""
        return [pod for pod in self.server.peek(POD) if active(pod)]

    def is_ready(self, version: str, name: str = "chat") -> bool:
        """Whether an LLMDeployment says of its present spec that this version serves."""
        found = self.find(LLM_DEPLOYMENT, name)
        if found is None or not is_true(found, "Ready"):
            return False
        status = found["status"]
        current = status["observedGeneration"] == found["metadata"]["generation"]
        return bool(current and (status.get("serving") or {}).get("version") == version)

    def reason(self, kind: str, name: str = "chat") -> str | None:
        """Reason of a condition of an LLMDeployment."""
        found = self.find(LLM_DEPLOYMENT, name)
        known = condition(found, kind) if found else None
        return str(known["reason"]) if known else None

    def hear_late(self, seconds: float, *kinds: Resource) -> None:
        """The operator's watches of these kinds begin anew, and bring all news so much later."""
        self.process.conditions.delays = {kind.plural: seconds for kind in kinds}
        self.server.store.interrupt(ConnectionResetError("the connection broke"))

    def take_api_server_away(self, seconds: float) -> None:
        """Every connection of the operator breaks, and nobody listens for so long."""
        met = self.process.conditions
        met.down = True
        self.server.store.interrupt(ConnectionResetError("the server ended"))
        asyncio.get_running_loop().call_later(seconds, setattr, met, "down", False)

    async def look_again(self) -> None:
        """Every replica that runs resyncs before its time."""
        for each in self.processes:
            if each.is_warm and each.operator is not None:
                await each.operator.resync.once()

    async def quiet(self, rest: float, seconds: float) -> bool:
        """Wait until only Leases and events have changed for `rest` seconds; whether it came to that."""
        return await self.until(lambda: now() - self.changed_at >= rest, seconds)

    async def until(self, true: Callable[[], object], seconds: float) -> bool:
        """Wait for something to become true; returns whether it did in time."""
        end = now() + seconds
        while not true():
            if now() >= end:
                return False
            await self.server.store.news(min(0.5, end - now()))
        return True

    def _changed(self, change: Change) -> None:
        if not change.key[0].endswith(("/leases", "/events")):
            self.changed_at = now()


def a_deployment(name: str = "chat", version: str = "v1", replicas: int = 2, **spec: Any) -> Manifest:
    """An LLMDeployment on one accelerator a replica."""
    built = ADeployment(name, NAMESPACE).of(version).with_replicas(replicas)
    return built.with_spec(engine={"device": "CUDA"}, **spec).build()


def _here(obj: Manifest) -> bool:
    return bool(obj["metadata"].get("namespace") == NAMESPACE)
