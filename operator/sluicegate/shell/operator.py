"""The operator without its host: every part of the shell, wired. Whoever hosts it feeds its intake."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from sluicegate.core.model_planner import plan_model_version
from sluicegate.core.observed import Defaults
from sluicegate.core.planner import plan_deployment
from sluicegate.kube.client import Client, OnRequest
from sluicegate.kube.clock import DatedTransport, ServerClock
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION
from sluicegate.kube.transport import Transport
from sluicegate.shell.apply import Applier
from sluicegate.shell.controller import Controller
from sluicegate.shell.gather import Gatherer
from sluicegate.shell.intake import Intake
from sluicegate.shell.lease import Lease, Timing
from sluicegate.shell.meter import Meter
from sluicegate.shell.pods import Pods
from sluicegate.shell.reconciler import Reconciler, Subject
from sluicegate.shell.recorder import Recorder
from sluicegate.shell.resync import Resync
from sluicegate.shell.runtime import RuntimeCalls
from sluicegate.shell.status import StatusWriter
from sluicegate.shell.view import EVERYWHERE, View
from sluicegate.shell.webhooks import Webhooks
from sluicegate.shell.workqueue import WorkQueue

LEASE_NAME = "sluicegate-operator"


@dataclass(frozen=True)
class Options:
    """What an installation chooses. `namespaces` is empty for the whole cluster."""

    identity: str
    namespaces: tuple[str, ...]
    resync_seconds: float
    defaults: Defaults
    lease: Timing = field(default_factory=Timing)


@dataclass(frozen=True)
class Surroundings:
    """What the operator is given of the outside world, so that tests can give it another."""

    transport: Transport
    now: Callable[[], datetime]
    jitter: random.Random
    meter: Meter
    on_request: OnRequest
    pods: Pods
    webhooks: Webhooks


class Operator:
    """Run `feed` and `work` side by side. `lease` says whether it leads, `view` whether it sees."""

    def __init__(self, options: Options, world: Surroundings) -> None:
        scope = options.namespaces or EVERYWHERE
        home = options.defaults.operator_namespace
        clock = ServerClock(world.now)
        transport = DatedTransport(world.transport, clock)
        # The Lease's client asks nobody before it writes, and never waits behind other writes.
        campaigner = Client(transport, on_request=world.on_request, concurrency=1)
        self.lease = Lease(
            campaigner, home, LEASE_NAME, options.identity, clock.now, world.jitter, options.lease
        )
        client = Client(transport, on_request=world.on_request, before_write=self.lease.check)
        self.queue = WorkQueue(world.meter.waited, world.meter.retried)
        self.intake = Intake(self.queue)
        self.view = View(
            client, scope, self.intake.changed, world.meter, world.jitter, options.resync_seconds
        )
        self.calls = RuntimeCalls(world.pods, world.webhooks, clock.now, self.queue.add, self.lease.held)
        self.resync = Resync(client, scope, self.intake, self.queue, options.resync_seconds, world.jitter)
        self._recorder = Recorder(client, options.identity, clock.now, lambda: uuid4().hex[:16], world.meter)
        gather = Gatherer(client, self.view, self.calls, options.defaults)
        applier = Applier(client, self.view.own_writes)
        reconciler = Reconciler(
            client=client,
            view=self.view,
            applier=applier,
            status=StatusWriter(applier),
            calls=self.calls,
            recorder=self._recorder,
            meter=world.meter,
            subjects=(
                Subject(LLM_DEPLOYMENT, gather.deployment, plan_deployment),
                Subject(MODEL_VERSION, gather.model_version, plan_model_version),
            ),
            now=clock.now,
        )
        self._controller = Controller(
            self.queue, reconciler.reconcile, self._may_start, self.lease.check, world.meter
        )

    async def feed(self) -> None:
        """Keep the caches up to date and look at everything now and then. A standby does this too."""
        async with asyncio.TaskGroup() as group:
            for part in (self.view, self.resync):
                group.create_task(part.run())

    async def work(self) -> None:
        """Campaign, and reconcile while leading; raises LeadershipLost, in a group."""
        async with asyncio.TaskGroup() as group:
            for part in (self.lease, self._controller, self._recorder):
                group.create_task(part.run())

    async def stop(self) -> None:
        """After `work` was cancelled: let a standby lead at once, and end what still runs."""
        await self.lease.release()
        self.queue.close()
        await self.calls.close()

    async def _may_start(self) -> None:
        await self.view.synced()
        await self.lease.acquired.wait()
