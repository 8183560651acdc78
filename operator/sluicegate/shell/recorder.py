"""Tells people what happened, as Kubernetes Events: at most one a minute of each reason for each object.

Recording never waits and never fails a reconcile; what cannot be sent is logged and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sluicegate.core import objects
from sluicegate.core.naming import MANAGER
from sluicegate.core.objects import Manifest
from sluicegate.core.plan import Event
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.resources import EVENT
from sluicegate.shell.meter import Meter

CONTROLLER = "sluicegate.dev/operator"
QUIET_SECONDS = 60.0
SERIES_SECONDS = 360.0
SERIES_KEPT = 4096
BACKLOG = 1000
LONGEST_NOTE = 1024  # bytes, by the API server's validation

Send = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


@dataclass
class _Series:
    """Repetitions of one event: its object's name and note, how often, and when last sent."""

    name: str
    note: str
    count: int
    sent_at: float


class Recorder:
    """Sends events in the background. `new_name` gives a suffix that no other event has."""

    def __init__(
        self,
        client: Client,
        instance: str,
        now: Callable[[], datetime],
        new_name: Callable[[], str],
        meter: Meter,
    ) -> None:
        self._client = client
        self._instance = instance
        self._now = now
        self._new_name = new_name
        self._meter = meter
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._backlog: asyncio.Queue[Send] = asyncio.Queue(BACKLOG)

    def record(self, regarding: Manifest, event: Event) -> None:
        """Have an event sent about a custom resource, unless the same was sent within a minute."""
        now = asyncio.get_running_loop().time()
        identity = (objects.uid(regarding), event.type, event.reason)
        series = self._series.get(identity)
        if series is not None and now - series.sent_at < QUIET_SECONDS:
            series.count += 1
            return
        continued = series is not None and now - series.sent_at < SERIES_SECONDS
        if series is not None and continued and series.note == event.message:
            series.count, series.sent_at = series.count + 1, now
            self._enqueue(partial(self._continue, regarding, series.name, series.count))
            return
        name = f"{objects.name(regarding)[:200]}.{self._new_name()}"
        self._series[identity] = _Series(name, event.message, 1, now)
        self._series.move_to_end(identity)
        if len(self._series) > SERIES_KEPT:
            self._series.popitem(last=False)
        self._enqueue(partial(self._begin, regarding, name, event))

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            send = await self._backlog.get()
            try:
                await send()
            except ApiError as error:
                logger.warning("an event was lost: %s", error)
                self._meter.event_lost()

    def _enqueue(self, send: Send) -> None:
        try:
            self._backlog.put_nowait(send)
        except asyncio.QueueFull:
            self._meter.event_lost()

    async def _begin(self, regarding: Manifest, name: str, event: Event) -> None:
        metadata = regarding["metadata"]
        manifest = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"namespace": metadata["namespace"], "name": name},
            "eventTime": self._timestamp(),
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:LONGEST_NOTE].decode(errors="ignore"),
            "action": "Reconcile",
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                **{key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")},
            },
        }
        await self._client.create(manifest, MANAGER)

    async def _continue(self, regarding: Manifest, name: str, count: int) -> None:
        series = {"count": count, "lastObservedTime": self._timestamp()}
        namespace = regarding["metadata"]["namespace"]
        await self._client.patch_merge(EVENT, namespace, name, {"series": series}, MANAGER)

    def _timestamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
