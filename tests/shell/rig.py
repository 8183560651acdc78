"""The whole shell beside the fake API server: real planners, modelled pods, no kopf and no sockets."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.builders import DEFAULTS, ADeployment
from tests.shell.kit import CountingMeter, running, until
from tests.shell.kubelet import Kubelet
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer, loop_time
from tests.sim.kinds import read_crds
from tests.sim.writes import key_of as key_in_store

from sluicegate.core import naming
from sluicegate.core.objects import Manifest
from sluicegate.core.observed import Answer, RuntimeStatus
from sluicegate.core.plan import Ask, Inquire
from sluicegate.core.template import POINTER_KEY
from sluicegate.kube.client import Client
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, Resource
from sluicegate.shell.keys import Key, key_of
from sluicegate.shell.lease import Timing
from sluicegate.shell.operator import Operator, Options, Surroundings
from sluicegate.shell.workqueue import Priority

NAMESPACE = "models"
CRDS = read_crds(Path(__file__).parents[2] / "crds")
DAY = 86_400.0
SLOW = Timing(lease=1500, renew_deadline=1000, retry=200)
SENT = ("namespace", "name", "finalizers", "annotations")


class FakeCalls:
    """Model pods that answer at once, each colour with the model that its pointer names."""

    def __init__(
        self, server: ApiServer, now: Callable[[], datetime], requeue: Callable[[Key], None]
    ) -> None:
        self._server = server
        self._now = now
        self._requeue = requeue
        self._answers: dict[Key, dict[str, Answer]] = {}
        self._statuses: dict[Key, dict[str, RuntimeStatus]] = {}

    def answers(self, key: Key) -> Mapping[str, Answer]:
        return dict(self._answers.get(key, {}))

    def statuses(self, key: Key, pods: frozenset[str]) -> Mapping[str, RuntimeStatus]:
        return dict(self._statuses.get(key, {}))

    def start(self, key: Key, action: Ask | Inquire) -> None:
        match action:
            case Ask():
                pointer = self._pointer(key, action.subject.partition("/")[2])
                answer = Answer(self._now(), pointer["version"])
                self._answers.setdefault(key, {})[action.subject] = answer
            case Inquire():
                pointer = self._pointer(key, action.pod.split("-")[-2])
                status = RuntimeStatus(self._now(), pointer["digest"], ready=True, in_flight=0)
                self._statuses.setdefault(key, {})[action.pod_uid] = status
        asyncio.get_running_loop().call_later(0.01, self._requeue, key)

    def forget(self, key: Key) -> None:
        self._answers.pop(key, None)
        self._statuses.pop(key, None)

    async def close(self) -> None: ...

    def _pointer(self, key: Key, rollout: str) -> Manifest:
        name = naming.pointer_name(key.name, rollout)
        stored = self._server.store.get(key_in_store(CONFIG_MAP, key.namespace, name))
        assert stored is not None
        pointer: Manifest = json.loads(stored["data"][POINTER_KEY])
        return pointer


class Rig:
    """One cluster. `wire` is the operator's way to the API server, `truth` everybody else's."""

    def __init__(self) -> None:
        self.server = ApiServer(CRDS, namespaces=(NAMESPACE, DEFAULTS.operator_namespace))
        self.truth = Client(self.server)
        self.wire = Wire(self.server)
        self.meter = CountingMeter()
        self.operator = self.another()
        self.working: asyncio.Task[None]

    def another(self, identity: str = "operator-0", lease: Timing = SLOW) -> Operator:
        options = Options(identity, (), 600.0, DEFAULTS, lease)
        world = Surroundings(
            self.wire,
            loop_time,
            random.Random(0),
            self.meter,
            lambda *_: None,
            partial(FakeCalls, self.server),  # type: ignore[arg-type]
        )
        return Operator(options, world)

    async def create(self, obj: Manifest) -> Manifest:
        """Create a custom resource as a user does, with its status where it has one."""
        meta = {key: value for key, value in obj["metadata"].items() if key in SENT}
        created = await self.truth.create({**obj, "metadata": meta}, "kubectl")
        if "status" in obj:
            status = {"status": obj["status"]}
            kind = MODEL_VERSION if obj["kind"] == MODEL_VERSION.kind else LLM_DEPLOYMENT
            await self.truth.patch_merge(
                kind, meta["namespace"], meta["name"], status, "sluicegate-status", subresource="status"
            )
        return created

    async def status(self, name: str = "chat") -> dict[str, Any]:
        return dict((await self.truth.get(LLM_DEPLOYMENT, NAMESPACE, name)).get("status") or {})

    async def is_ready(self, name: str = "chat") -> bool:
        return await self.condition("Ready", name) == "True"

    async def condition(self, kind: str, name: str = "chat") -> str | None:
        conditions = (await self.status(name)).get("conditions") or ()
        return next((each["status"] for each in conditions if each["type"] == kind), None)

    async def names(self, kind: Resource) -> list[str]:
        return [each["metadata"]["name"] for each in (await self.truth.list(kind, NAMESPACE)).items]

    def writes(self) -> list[tuple[str, str]]:
        """What the operator wrote, its Lease left out."""
        return [(each.method, each.path) for each in self.wire.writes if "/leases" not in each.path]

    async def until_ready(self, name: str = "chat", seconds: float = 120.0) -> None:
        async with asyncio.timeout(seconds):
            ready = await self.is_ready(name)
            while not ready:
                await asyncio.sleep(0.5)
                ready = await self.is_ready(name)

    async def settle(self) -> None:
        """Let what follows from the last change happen."""
        await asyncio.sleep(30)

    async def host(self, operator: Operator) -> None:
        """What kopf does: every event of a custom resource goes to the intake."""
        async with asyncio.TaskGroup() as group:
            for kind in (MODEL_VERSION, LLM_DEPLOYMENT):
                group.create_task(self._watch(operator, kind))

    async def _watch(self, operator: Operator, kind: Resource) -> None:
        listing = await self.truth.list(kind)
        for obj in listing.items:
            operator.intake.observe(obj, Priority.RESYNC)
        async for event in self.truth.watch(
            kind, resource_version=listing.resource_version, seconds=1_000_000, inactivity=1_000_000
        ):
            if event.type == "DELETED":
                operator.intake.vanished(key_of(event.object), Priority.EVENT)
            elif event.type != "BOOKMARK":
                operator.intake.observe(event.object, Priority.EVENT)


@asynccontextmanager
async def a_cluster(*objects: Manifest) -> AsyncIterator[Rig]:
    """A cluster with an operator that runs, and these custom resources."""
    rig = Rig()
    for obj in objects:
        await rig.create(obj)
    operator = rig.operator
    rig.working = asyncio.create_task(operator.work())
    try:
        async with running(Kubelet(rig.truth).run(), rig.host(operator), operator.feed()):
            await until(operator.lease.acquired.is_set)
            await asyncio.sleep(1)
            yield rig
    finally:
        rig.working.cancel()
        await asyncio.wait([rig.working])


def a_deployment(name: str = "chat") -> dict[str, Any]:
    return ADeployment(name, NAMESPACE).build()
