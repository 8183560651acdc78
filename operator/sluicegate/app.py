"""The composition root: builds every part of the operator, starts them in order, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from sluicegate.core.model_planner import plan_model_version
from sluicegate.core.observed import Defaults
from sluicegate.core.planner import plan_deployment
from sluicegate.host import logs
from sluicegate.host.health import Health
from sluicegate.host.http import http_server
from sluicegate.host.kopf_host import KopfHost
from sluicegate.host.metrics import Metrics
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError, ConfigurationError, NotFound
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION
from sluicegate.settings import Settings
from sluicegate.shell.apply import Applier
from sluicegate.shell.controller import Controller
from sluicegate.shell.gather import Gatherer
from sluicegate.shell.intake import Intake
from sluicegate.shell.lease import LeadershipLost, Lease
from sluicegate.shell.reconciler import Reconciler, Subject
from sluicegate.shell.recorder import Recorder
from sluicegate.shell.resync import Resync
from sluicegate.shell.runtime import RuntimeCalls
from sluicegate.shell.status import StatusWriter
from sluicegate.shell.token_key import token_key
from sluicegate.shell.view import EVERYWHERE, View
from sluicegate.shell.workqueue import Priority, WorkQueue

LEASE_NAME = "sluicegate-operator"

logger = logging.getLogger(__name__)


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Operator:
    """Every part, wired. `reader` is a client that asks nobody before it writes: the Lease's own."""

    def __init__(self, settings: Settings, reader: Client, metrics: Metrics, key: bytes) -> None:
        jitter = random.Random()
        scope = settings.namespaces or EVERYWHERE
        self._port = settings.http_port
        self._metrics = metrics
        self._lease = Lease(
            reader, settings.operator_namespace, LEASE_NAME, settings.identity, wall_clock, jitter
        )
        client = Client(reader.transport, on_request=metrics.requested, before_write=self._lease.check)
        self._queue = WorkQueue(metrics.waited, metrics.retried)
        intake = Intake(self._queue)
        self._view = View(client, scope, intake.changed, metrics, jitter)
        self._calls = RuntimeCalls(wall_clock, self._queue.add)
        self._recorder = Recorder(client, settings.identity, wall_clock, lambda: uuid4().hex[:16], metrics)
        self._resync = Resync(client, scope, intake, self._queue, settings.resync_seconds, jitter)
        self._kopf = KopfHost(intake, scope, jitter)
        self._health = Health(
            self._view.informers, lambda: self._kopf.is_alive, asyncio.get_running_loop().time
        )
        gather = Gatherer(client, self._view, self._calls, _defaults(settings, key))
        applier = Applier(client, self._view.own_writes)
        reconciler = Reconciler(
            client=client,
            view=self._view,
            applier=applier,
            status=StatusWriter(applier),
            calls=self._calls,
            recorder=self._recorder,
            meter=metrics,
            subjects=(
                Subject(LLM_DEPLOYMENT, gather.deployment, plan_deployment),
                Subject(MODEL_VERSION, gather.model_version, plan_model_version),
            ),
            now=wall_clock,
        )
        self._controller = Controller(
            self._queue, reconciler.reconcile, self._may_start, self._lease.check, metrics
        )
        self._show_metrics()

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT; raises LeadershipLost and whatever ended kopf, in groups."""
        stop, kopf_stop = asyncio.Event(), asyncio.Event()
        _on_signals(stop)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._calls.close)
            await stack.enter_async_context(http_server(self._port, self._health, self._metrics.exposition))
            async with asyncio.TaskGroup() as group:
                # kopf comes last, because at its end it cancels every task that is younger than itself.
                feeding = [group.create_task(each.run()) for each in (self._view, self._recorder)]
                working = [
                    group.create_task(each.run()) for each in (self._lease, self._controller, self._resync)
                ]
                watching = group.create_task(self._watch(stop, kopf_stop))
                await stop.wait()
                logger.info("stopping")
                await _cancelled(working)
                await self._lease.release()
                self._queue.close()
                await self._calls.close()
                kopf_stop.set()
                if not self._view.is_synced:
                    watching.cancel()
                await asyncio.wait([watching])
                await _cancelled(feeding)

    async def _watch(self, stop: asyncio.Event, kopf_stop: asyncio.Event) -> None:
        await self._view.synced()
        try:
            await self._resync.once()
        except NotFound as missing:
            # kopf looks for the kinds once, and would watch nothing for ever.
            raise RuntimeError(f"install the CRDs first, see `sluicegate crds`: {missing}") from missing
        await self._kopf.run(kopf_stop, started=lambda: _on_signals(stop))
        if not kopf_stop.is_set():
            raise RuntimeError("kopf ended by itself: custom resources are not watched any more")

    async def _may_start(self) -> None:
        await self._view.synced()
        await self._lease.acquired.wait()

    def _show_metrics(self) -> None:
        depths = {each.name.lower(): partial(self._queue.depth, each) for each in Priority}
        kinds = sorted({each.kind for each in self._view.informers})
        ages = {kind: partial(self._health.silence, kind) for kind in kinds}
        self._metrics.show_each("workqueue_depth", "Keys that wait for a worker.", "priority", depths)
        self._metrics.show_each("cache_age_seconds", "Time since a kind was last heard of.", "kind", ages)
        self._metrics.show("leader", "Whether this replica leads.", self._lease.held)


async def run(settings: Settings) -> int:
    """Run the operator in the cluster that the environment names; returns the exit code."""
    logs.install(settings.log_level)
    metrics = Metrics()
    try:
        async with await Client.from_environment(on_request=metrics.requested) as reader:
            key = await token_key(reader, settings.operator_namespace)
            await Operator(settings, reader, metrics, key).run()
    except (ConfigurationError, ApiError, ValueError) as error:
        logger.error("cannot start: %s", error)
        return 1
    except ExceptionGroup as failed:
        lost = failed.subgroup(LeadershipLost)
        logger.error("exiting: %s", lost.exceptions[0] if lost else failed, exc_info=None if lost else failed)
        return 1
    return 0


def _defaults(settings: Settings, key: bytes) -> Defaults:
    return Defaults(
        cuda_image=settings.cuda_image,
        cpu_image=settings.cpu_image,
        store_image=settings.store_image,
        operator_namespace=settings.operator_namespace,
        token_key=key,
    )


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
