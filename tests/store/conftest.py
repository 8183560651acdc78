"""A hub server for the tests that need one: on its own thread, since the client under test blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
def start_hub(tmp_path: Path) -> Iterator[Callable[[str], RunningHub]]:
    """Starts a hub with a folder of this name."""
    with ExitStack() as running:
        yield lambda name: running.enter_context(_running(tmp_path / name))


@pytest.fixture
def hub(start_hub: Callable[[str], RunningHub]) -> RunningHub:
    return start_hub("hub")


@contextmanager
def _running(root: Path) -> Iterator[RunningHub]:
    served = Hub(root)
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
