"""A hub server for the tests that need one: on its own thread, since the client under test blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from tests.store.hub_server import Hub


@dataclass
class RunningHub:
    hub: Hub
    endpoint: str


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    served = Hub(tmp_path / "hub")
    served.root.mkdir()
    started, loop = threading.Event(), asyncio.new_event_loop()
    port = 0

    async def start() -> web.AppRunner:
        nonlocal port
        runner = web.AppRunner(served.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    yield RunningHub(served, f"http://127.0.0.1:{port}")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
