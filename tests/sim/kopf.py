"""What kopf does for the operator, quirks too; `tests/host/test_kopf_itself.py` holds it to the real one.

It lists and watches both kinds of custom resources and hands every event on. After a gap it lists again and
repeats what is there: a deletion inside the gap is never told. An error line other than 410 ends it, and so
does a refusal that it does not try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError, Forbidden, Gone, Throttled, Unavailable
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, Resource
from sluicegate.kube.transport import Transport
from sluicegate.shell.intake import Intake

BACK_OFFS = (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 30.0)
WATCH_SECONDS = 330.0
SILENCE_SECONDS = 70.0


class ModelledKopf:
    """A Watcher that does as kopf would with our settings, in these namespaces."""

    def __init__(self, transport: Transport, intake: Intake, namespaces: tuple[str, ...]) -> None:
        self._followers = [
            _Follower(transport, intake, kind, namespace)
            for kind in (MODEL_VERSION, LLM_DEPLOYMENT)
            for namespace in namespaces
        ]

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        stopped = asyncio.create_task(stop.wait())
        tasks = [stopped, *(asyncio.create_task(each.run()) for each in self._followers)]
        started()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()


class _Follower:
    """One kind in one namespace."""

    def __init__(self, transport: Transport, intake: Intake, kind: Resource, namespace: str) -> None:
        self._client = Client(transport, on_request=self._answered)
        self._intake = intake
        self._kind = kind
        self._namespace = namespace
        self._failures = 0
        self._opened = False

    async def run(self) -> None:
        while True:
            version = await self._list()
            try:
                while True:
                    version = await self._watch(version)
            except Gone:
                continue

    async def _list(self) -> str:
        while True:
            try:
                listing = await self._client.list(self._kind, self._namespace)
            except (Unavailable, Forbidden, Throttled):
                await self._back_off()
                continue
            self._failures = 0
            for obj in listing.items:
                self._intake.heard(None, obj)
            return listing.resource_version

    async def _watch(self, version: str) -> str:
        """One stream; returns where the next one goes on. Raises what ends kopf."""
        events = self._client.watch(
            self._kind,
            self._namespace,
            resource_version=version,
            seconds=WATCH_SECONDS,
            inactivity=SILENCE_SECONDS,
        )
        self._opened = False
        try:
            async for event in events:
                self._failures = 0
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    self._intake.heard(event.type, event.object)
        except ApiError as error:
            told_by_a_line = self._opened and error.code != 0
            again = isinstance(error, (Unavailable, Forbidden, Throttled)) and not told_by_a_line
            if not again:
                raise
            await self._back_off()
        return version

    async def _back_off(self) -> None:
        await asyncio.sleep(BACK_OFFS[min(self._failures, len(BACK_OFFS) - 1)])
        self._failures += 1

    def _answered(self, verb: str, kind: str, code: int, seconds: float) -> None:
        self._opened = verb == "watch" and code == 200
