"""A stand-in for the store container: has the models that the test gives it, under the uri file://<path>."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.engine.pod import free_ports


class FakeStore:
    """`orders` are those that came. `refusal` is answered instead, and `gate` waited for, where set."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.models = Path()
        self.orders: list[dict[str, Any]] = []
        self.refusal: dict[str, str] | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_post("/ingest", self._ingest)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        yield
        self.gate.set()
        await runner.cleanup()

    async def _ingest(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.orders.append(order)
        await self.gate.wait()
        if self.refusal is not None:
            return web.json_response({"error": self.refusal}, status=422)
        snapshot = self.models / "snapshots" / order["digest"].removeprefix("sha256:")
        if not snapshot.exists():
            snapshot.symlink_to(order["source"]["uri"].removeprefix("file://"))
        return web.json_response({"ready": True})
