"""The whole shell beside an API server: real planners, modelled pods, no kopf.

A site says which API server. The fake one needs no sockets, so its time may be virtual.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.builders import DEFAULTS, ADeployment
from tests.shell.kit import CountingMeter, eventually, running, until
from tests.shell.kubelet import Kubelet
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer, loop_time
from tests.sim.server.kinds import read_crds

from sluicegate.core import naming
from sluicegate.core.objects import Manifest
from sluicegate.core.plan import Ask, CancelReload, Consult, Inquire, Reload, Score
from sluicegate.core.template import POINTER_KEY
from sluicegate.kube.client import Client, WatchEvent
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, Resource
from sluicegate.kube.transport import Transport
from sluicegate.shell.lease import Timing
from sluicegate.shell.operator import Operator, Options, Surroundings
from sluicegate.shell.pods import NoAnswer, Report, Scored
from sluicegate.shell.webhooks import Said

NAMESPACE = "models"
CRDS = read_crds(Path(__file__).parents[2] / "crds")
DAY = 86_400.0
FOREVER = 1_000_000
SLOW = Timing(lease=1500, renew_deadline=1000, retry=200)
SENT = ("name", "finalizers", "annotations")


def the_fake() -> ApiServer:
    return ApiServer(CRDS, namespaces=(NAMESPACE, DEFAULTS.operator_namespace))


@dataclass(frozen=True)
class Site:
    """An API server with two namespaces: of the custom resources, and the operator's `home`.

    After `rest_seconds` nothing is under way any more, and `idle_seconds` are a long time. `now` is the
    wall clock.
    """

    server: Transport = field(default_factory=the_fake)
    namespace: str = NAMESPACE
    home: str = DEFAULTS.operator_namespace
    now: Callable[[], datetime] = loop_time
    rest_seconds: float = 30.0
    idle_seconds: float = 3600.0


class AnsweringPods:
    """Model pods that answer at once, each colour with the model that its pointer names."""

    def __init__(self, truth: Client, namespace: str) -> None:
        self._truth = truth
        self._namespace = namespace

    async def generate(self, ask: Ask) -> str:
        pointer = await self._pointer(ask.model, ask.subject.partition("/")[2])
        return str(pointer["version"])

    async def score(self, score: Score) -> Scored:
        pointer = await self._pointer(score.model, score.subject.split("/")[1])
        return Scored(pointer["version"], {text.name: (-0.5,) * len(text.tokens) for text in score.texts})

    async def report(self, inquire: Inquire) -> Report:
        name, rollout, _ = inquire.pod.rsplit("-", 2)
        pointer = await self._pointer(name, rollout)
        return Report(pointer["digest"], ready=True, in_flight=0)

    async def reload(self, reload: Reload) -> Report:
        raise NoAnswer("HTTP 404 Not Found")

    async def cancel(self, cancel: CancelReload) -> Report:
        raise NoAnswer("HTTP 404 Not Found")

    async def _pointer(self, deployment: str, rollout: str) -> Manifest:
        await asyncio.sleep(0.01)
        name = naming.pointer_name(deployment, rollout)
        stored = await self._truth.get(CONFIG_MAP, self._namespace, name)
        pointer: Manifest = json.loads(stored["data"][POINTER_KEY])
        return pointer


class AgreeingWebhooks:
    async def consult(self, consult: Consult) -> Said:
        return Said(200)


class Rig:
    """One cluster. `wire` is the operator's way to the API server, `truth` everybody else's."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site()
        self.truth = Client(self.site.server)
        self.wire = Wire(self.site.server)
        self.meter = CountingMeter()
        self.operator = self.another()
        self.working: asyncio.Task[None]

    def another(self, identity: str = "operator-0", lease: Timing = SLOW) -> Operator:
        defaults = replace(DEFAULTS, operator_namespace=self.site.home)
        options = Options(identity, (self.site.namespace,), 600.0, defaults, lease)
        world = Surroundings(
            self.wire,
            self.site.now,
            random.Random(0),
            self.meter,
            lambda *_: None,
            AnsweringPods(self.truth, self.site.namespace),
            AgreeingWebhooks(),
        )
        return Operator(options, world)

    async def end(self) -> None:
        """The operator ends in order."""
        self.working.cancel()
        await asyncio.wait([self.working])
        await self.operator.stop()

    async def create(self, obj: Manifest) -> Manifest:
        """Create a custom resource as a user does, with its status where it has one."""
        meta = {key: value for key, value in obj["metadata"].items() if key in SENT}
        placed = {**obj, "metadata": {**meta, "namespace": self.site.namespace}}
        created = await self.truth.create(placed, "kubectl")
        if "status" in obj:
            kind = MODEL_VERSION if obj["kind"] == MODEL_VERSION.kind else LLM_DEPLOYMENT
            status = {"status": obj["status"]}
            await self.patch(kind, meta["name"], status, "sluicegate-status", subresource="status")
        return created

    async def get(self, kind: Resource, name: str) -> dict[str, Any]:
        return await self.truth.get(kind, self.site.namespace, name)

    async def patch(
        self, kind: Resource, name: str, patch: Manifest, manager: str = "kubectl", subresource: str = ""
    ) -> None:
        await self.truth.patch_merge(kind, self.site.namespace, name, patch, manager, subresource=subresource)

    async def delete(self, kind: Resource, name: str) -> None:
        await self.truth.delete(kind, self.site.namespace, name)

    async def status(self, name: str = "chat") -> dict[str, Any]:
        return dict((await self.get(LLM_DEPLOYMENT, name)).get("status") or {})

    async def is_ready(self, name: str = "chat") -> bool:
        return await self.condition("Ready", name) == "True"

    async def condition(self, kind: str, name: str = "chat") -> str | None:
        conditions = (await self.status(name)).get("conditions") or ()
        return next((each["status"] for each in conditions if each["type"] == kind), None)

    async def names(self, kind: Resource) -> list[str]:
        found = await self.truth.list(kind, self.site.namespace)
        return [each["metadata"]["name"] for each in found.items]

    async def version_of(self, kind: Resource) -> str:
        """The resourceVersion from which a watch sees all that comes."""
        return (await self.truth.list(kind, self.site.namespace)).resource_version

    def watch(self, kind: Resource, since: str) -> AsyncIterator[WatchEvent]:
        where = self.site.namespace
        return self.truth.watch(
            kind, where, resource_version=since, seconds=FOREVER, inactivity=float(FOREVER)
        )

    def writes(self) -> list[tuple[str, str]]:
        """What the operator wrote, its Lease left out."""
        return [(each.method, each.path) for each in self.wire.writes if "/leases" not in each.path]

    async def until_ready(self, name: str = "chat", seconds: float = 120.0) -> None:
        await eventually(partial(self.is_ready, name), seconds)

    async def until_serving(self, version: str) -> None:
        async def serves() -> bool:
            return bool((await self.status())["serving"]["version"] == version)

        await eventually(serves, 120)

    async def until_left(self, kind: Resource, number: int) -> None:
        async def left() -> bool:
            return len(await self.names(kind)) == number

        await eventually(left, 60)

    async def until_gone(self, kind: Resource) -> None:
        await self.until_left(kind, 0)

    async def settle(self) -> None:
        """Let what follows from the last change happen."""
        await asyncio.sleep(self.site.rest_seconds)

    async def host(self, operator: Operator) -> None:
        """What kopf does: every event of a custom resource goes to the intake."""
        async with asyncio.TaskGroup() as group:
            for kind in (MODEL_VERSION, LLM_DEPLOYMENT):
                group.create_task(self._watch(operator, kind))

    async def _watch(self, operator: Operator, kind: Resource) -> None:
        listing = await self.truth.list(kind, self.site.namespace)
        for obj in listing.items:
            operator.intake.heard(None, obj)
        async for event in self.watch(kind, listing.resource_version):
            if event.type != "BOOKMARK":
                operator.intake.heard(event.type, event.object)


@asynccontextmanager
async def a_cluster(*objects: Manifest, site: Site | None = None) -> AsyncIterator[Rig]:
    """A cluster with an operator that runs, and these custom resources."""
    rig = Rig(site)
    for obj in objects:
        await rig.create(obj)
    operator = rig.operator
    rig.working = asyncio.create_task(operator.work())
    kubelet = Kubelet(rig.truth, rig.site.namespace)
    try:
        async with running(kubelet.run(), rig.host(operator), operator.feed()):
            await until(operator.lease.acquired.is_set)
            await asyncio.sleep(1)
            yield rig
    finally:
        rig.working.cancel()
        await asyncio.wait([rig.working])


def a_deployment(name: str = "chat") -> dict[str, Any]:
    return ADeployment(name, NAMESPACE).build()
