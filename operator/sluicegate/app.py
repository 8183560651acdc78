"""The composition root: hosts the operator in a process, starts and stops its parts in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from sluicegate.core.observed import Defaults
from sluicegate.host import logs
from sluicegate.host.health import Health
from sluicegate.host.http import http_server
from sluicegate.host.kopf_host import KopfHost
from sluicegate.host.metrics import Metrics
from sluicegate.host.process import Process
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError, ConfigurationError
from sluicegate.settings import Settings
from sluicegate.shell.lease import LeadershipLost
from sluicegate.shell.operator import Operator, Options, Surroundings
from sluicegate.shell.pods import HttpPods
from sluicegate.shell.token_key import token_key
from sluicegate.shell.view import EVERYWHERE
from sluicegate.shell.webhooks import HttpWebhooks
from sluicegate.shell.workqueue import Priority

logger = logging.getLogger(__name__)


async def run(settings: Settings) -> int:
    """Run the operator in the cluster that the environment names; returns the exit code."""
    logs.install(settings.log_level)
    # What the imports made stays for good, and most of what a pass makes is gone with it: there is little
    # to find for a collector, and it would look every 700 objects.
    gc.freeze()
    gc.set_threshold(10_000)
    metrics = Metrics()
    try:
        async with (
            await Client.from_environment(on_request=metrics.requested) as client,
            aclosing(HttpPods()) as pods,
            aclosing(HttpWebhooks()) as webhooks,
        ):
            key = await token_key(client, settings.operator_namespace)
            world = Surroundings(
                client.transport,
                lambda: datetime.now(UTC),
                random.Random(),
                metrics,
                metrics.requested,
                pods,
                webhooks,
            )
            await _Hosted(settings, Operator(_options(settings, key), world), metrics).run()
    except (ConfigurationError, ApiError, ValueError) as error:
        logger.error("cannot start: %s", error)
        return 1
    except ExceptionGroup as failed:
        lost = failed.subgroup(LeadershipLost)
        reason = "the Lease was lost" if lost else "a part of the operator failed"
        logger.error("exiting: %s", reason, exc_info=None if lost else failed)
        return 1
    return 0


class _Hosted:
    """The operator's process with kopf, signals and an HTTP port around it."""

    def __init__(self, settings: Settings, operator: Operator, metrics: Metrics) -> None:
        self._operator = operator
        self._metrics = metrics
        self._port = settings.http_port
        kopf = KopfHost(operator.intake, settings.namespaces or EVERYWHERE, random.Random())
        # kopf puts handlers of its own in place of ours when it starts.
        self._process = Process(operator, kopf, started=self._take_signals)
        clock = asyncio.get_running_loop().time
        self._health = Health(operator.view.informers, lambda: kopf.is_alive, clock)

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT; raises LeadershipLost, or what ended kopf, in groups."""
        self._show_metrics()
        self._take_signals()
        async with http_server(self._port, self._health, self._metrics.exposition):
            await self._process.run()

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._process.stop.set)

    def _show_metrics(self) -> None:
        queue, health = self._operator.queue, self._health
        depths = {each.name.lower(): partial(queue.depth, each) for each in Priority}
        kinds = sorted({each.kind for each in self._operator.view.informers})
        ages = {kind: partial(health.silence, kind) for kind in kinds}
        self._metrics.show_each("workqueue_depth", "Keys that wait for a worker.", "priority", depths)
        self._metrics.show_each("cache_age_seconds", "Time since a kind was last heard of.", "kind", ages)
        self._metrics.show("leader", "Whether this replica leads.", self._operator.lease.held)


def _options(settings: Settings, key: bytes) -> Options:
    defaults = Defaults(
        cuda_image=settings.cuda_image,
        cpu_image=settings.cpu_image,
        store_image=settings.store_image,
        operator_namespace=settings.operator_namespace,
        token_key=key,
        freeze=settings.freeze,
    )
    return Options(settings.identity, settings.namespaces, settings.resync_seconds, defaults)
