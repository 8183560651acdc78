"""Keeps a cache equal to one kind in the API server: LIST, then WATCH, for ever.

What the usual libraries leave out is the point of it: after a gap in the watch the LIST is compared with
what is held, so that a deletion inside the gap is noticed; a stream that has gone silent is abandoned; now
and then the LIST is made again, so that an event that was lost on the way is missed for minutes and not for
ever; and an error only ever delays.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any

from sluicegate.core.objects import Manifest
from sluicegate.kube.client import Client, WatchEvent
from sluicegate.kube.errors import ApiError, Gone
from sluicegate.kube.resources import Resource
from sluicegate.shell.meter import Meter
from sluicegate.shell.store import Cache

WATCH_SECONDS = 300.0
RELIST_SECONDS = 600.0
SILENCE_SECONDS = 75.0
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0


class Informer:
    """Feeds `cache` with the objects of one kind in one namespace ("" for all), each reduced by `trim`.

    It lists anew every `relist_seconds`, give or take a tenth.

    `synced` is set after the first LIST. `version` is the newest resourceVersion seen, `heard_at` the time
    of the event loop at which the API server last sent something.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str,
        label_selector: str,
        cache: Cache,
        trim: Callable[[Manifest], dict[str, Any]],
        meter: Meter,
        jitter: random.Random,
        relist_seconds: float = RELIST_SECONDS,
    ) -> None:
        self._client = client
        self._resource = resource
        self._label_selector = label_selector
        self._cache = cache
        self._trim = trim
        self._meter = meter
        self._jitter = jitter
        self._relist_seconds = relist_seconds
        self._relist_at = -math.inf
        self._resume_from: str | None = None
        self._failures = 0
        self.namespace = namespace
        self.synced = asyncio.Event()
        self.version = 0
        self.heard_at: float | None = None

    @property
    def kind(self) -> str:
        return self._resource.kind

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            reason = await self._follow()
            self._meter.watch_restarted(self.kind, reason)
            await asyncio.sleep(self._delay())

    async def _follow(self) -> str:
        """One LIST where needed and one WATCH; returns why it ended."""
        self._failures += 1
        try:
            if self._resume_from is None or _now() >= self._relist_at:
                self._resume_from = await self._list()
            await self._watch(self._resume_from)
        except Gone as gap:
            self._resume_from = None
            return gap.reason
        except ApiError as error:
            return error.reason
        return "Closed"

    async def _list(self) -> str:
        listing = await self._client.list(
            self._resource, self.namespace, label_selector=self._label_selector, keep=self._trim
        )
        self._cache.replace(listing.items, int(listing.resource_version), self._within)
        self._heard(listing.resource_version)
        self._relist_at = _now() + self._relist_seconds * self._jitter.uniform(0.9, 1.1)
        self.synced.set()
        return listing.resource_version

    async def _watch(self, resource_version: str) -> None:
        events = self._client.watch(
            self._resource,
            self.namespace,
            resource_version=resource_version,
            label_selector=self._label_selector,
            seconds=max(1.0, min(WATCH_SECONDS * self._jitter.uniform(0.8, 1.0), self._relist_at - _now())),
            inactivity=SILENCE_SECONDS,
        )
        async for event in events:
            self._failures = 0
            self._take(event)

    def _take(self, event: WatchEvent) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._cache.put(self._trim(event.object))
            case "DELETED":
                self._cache.drop(event.object)
        self._heard(event.object["metadata"]["resourceVersion"])

    def _heard(self, resource_version: str) -> None:
        self._resume_from = resource_version
        self.version = int(resource_version)
        self.heard_at = _now()

    def _within(self, obj: Manifest) -> bool:
        return self.namespace in ("", obj["metadata"].get("namespace", ""))

    def _delay(self) -> float:
        """Nothing after a stream that delivered; else the back-off, spread so that kinds don't keep step."""
        if self._failures == 0:
            return 0.0
        delay = FIRST_DELAY_SECONDS * 2.0 ** min(self._failures - 1, 10)
        return min(delay, LONGEST_DELAY_SECONDS) * self._jitter.uniform(0.5, 1.0)


def _now() -> float:
    return asyncio.get_running_loop().time()
