"""The process beside the engine in a model pod: fills the store from the pointer, says when it is done.

Later it brings further models on the engine container's order, on a port that nobody outside the pod reaches.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from sluicegate_store.errors import ErrorBody, Reason, StoreError, shorten, volume_errors
from sluicegate_store.ingest import SourceSettings, ingest
from sluicegate_store.layout import Store
from sluicegate_store.manifest import DIGEST
from sluicegate_store.progress import Progress

TOKEN_VARIABLE = "HF_TOKEN"
DRAFT_TOKEN_VARIABLE = "HF_TOKEN_DRAFT"
NO_TOKEN = ""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
LOOPBACK = "127.0.0.1"
Sleep = Callable[[float], Awaitable[None]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A model that the pod must hold; `token_variable` names where its source's credentials are."""

    version: str
    digest: str
    uri: str
    endpoint: str | None
    token_variable: str


def read_pointer(text: bytes) -> list[Target]:
    """The model of a pointer, then its draft model if it names one. ConfigInvalid where it is malformed."""
    try:
        pointer = json.loads(text)
        parts = ((pointer, TOKEN_VARIABLE), (pointer.get("draft"), DRAFT_TOKEN_VARIABLE))
        return [_target(part, variable) for part, variable in parts if part is not None]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            Reason.CONFIG_INVALID,
            "the pointer is not JSON with version, digest and source.uri; see the log of the operator",
        ) from error


def _target(part: Any, token_variable: str) -> Target:
    version, digest, source = part["version"], part["digest"], part["source"]
    if not (isinstance(version, str) and isinstance(source["uri"], str) and DIGEST.fullmatch(digest)):
        raise ValueError("unexpected types")
    return Target(version, digest, source["uri"], source.get("endpoint"), token_variable)


class Sidecar:
    """Ingest of a pointer's models, and the state that /ready shows. Tokens are in the environment."""

    def __init__(
        self,
        store: Store,
        pointer: Path,
        mounts: Path,
        environment: Mapping[str, str],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._pointer = pointer
        self._writing = asyncio.Lock()
        self._mounts = mounts
        self._environment = environment
        self._sleep = sleep
        self._progress = Progress()
        self._ready = False
        self._error: ErrorBody | None = None
        self._version: str | None = None

    def application(self) -> web.Application:
        """The HTTP application: GET /ready."""
        application = web.Application()
        application.router.add_get("/ready", self._answer)
        return application

    def orders(self) -> web.Application:
        """The HTTP application for the engine's container: POST /ingest."""
        application = web.Application()
        application.router.add_post("/ingest", self._obey)
        return application

    async def run(self) -> None:
        """Return when all models are in place. Raises StoreError where waiting cannot help."""
        async with self._writing:
            for target in await asyncio.to_thread(self._begin):
                self._version = target.version
                await self._ingest(target)
            await asyncio.to_thread(self._end)
        self._ready, self._error = True, None
        self._progress.begin("Ready", 0)

    def _begin(self) -> list[Target]:
        with volume_errors():
            self._store.clean_incoming()
            return read_pointer(self._pointer.read_bytes())

    def _end(self) -> None:
        with volume_errors():
            self._store.drop_unused()

    async def _ingest(self, target: Target) -> None:
        for wait in _waits():
            try:
                await asyncio.to_thread(self._bring, target, self._progress)
            except StoreError as error:
                self._error = error.body()
                if not error.retryable:
                    self._progress.begin("Failed", 0)
                    raise
                _log.warning("%s: %s; again in %.0f s", error.reason, error.message, wait)
                self._progress.begin("Waiting", 0)
                await self._sleep(wait)
            else:
                _log.info("%s is in place: %s", shorten(target.version), target.digest)
                self._error = None
                return

    def _bring(self, target: Target, progress: Progress) -> None:
        settings = SourceSettings(self._mounts, self._environment.get(target.token_variable) or None)
        ingest(self._store, target.uri, target.endpoint, target.digest, settings, progress)

    async def _obey(self, request: web.Request) -> web.Response:
        """Answer when the model is in place, or with the reason why not. One order after the other."""
        try:
            order = await request.json()
            target, keep = _target(order, TOKEN_VARIABLE), {str(digest) for digest in order["keep"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            return web.json_response(
                {"error": "the order names no version, digest, source.uri and keep"}, status=400
            )
        async with self._writing:
            try:
                await asyncio.to_thread(self._make_room_and_bring, target, keep)
            except StoreError as error:
                _log.warning("%s: %s", error.reason, error.message)
                return web.json_response({"error": error.body()}, status=422)
        _log.info("%s is in place on order: %s", shorten(target.version), target.digest)
        return web.json_response({"ready": True})

    def _make_room_and_bring(self, target: Target, keep: set[str]) -> None:
        with volume_errors():
            pointed = read_pointer(self._pointer.read_bytes())
            self._store.retain(keep | {each.digest for each in pointed})
        # Orders come from the container with the engine. To another hub than the pod's own no token goes.
        own = target.endpoint == pointed[0].endpoint
        self._bring(target if own else replace(target, token_variable=NO_TOKEN), Progress())

    async def _answer(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "ready": self._ready,
                "version": self._version,
                "phase": self._progress.phase,
                "bytesDone": self._progress.bytes_done,
                "bytesTotal": self._progress.bytes_total,
                "error": self._error,
            },
            status=200 if self._ready else 503,
        )


def _waits() -> Iterator[float]:
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


async def serve(sidecar: Sidecar, host: str, port: int, orders_port: int) -> None:
    """Answer on the ports from the start, fill the store, then stay. Raises StoreError on a terminal one."""
    probe, orders = (
        web.AppRunner(application, access_log=None)
        for application in (sidecar.application(), sidecar.orders())
    )
    try:
        for runner, address in ((probe, (host, port)), (orders, (LOOPBACK, orders_port))):
            await runner.setup()
            await web.TCPSite(runner, *address).start()
        await sidecar.run()
        await asyncio.Event().wait()
    finally:
        await probe.cleanup()
        await orders.cleanup()
