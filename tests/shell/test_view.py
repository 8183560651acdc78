"""The view beside a fake API server: what is read live because a watch lags never undoes what it brings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from tests.shell.kit import CountingMeter, a_child, running, with_meta
from tests.shell.rig import CRDS, NAMESPACE
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer

from sluicegate.kube.client import Client
from sluicegate.kube.resources import CONFIG_MAP
from sluicegate.kube.transport import Query, Response, Stream, Transport
from sluicegate.shell.keys import Key
from sluicegate.shell.view import PATIENCE_SECONDS, View

pytestmark = pytest.mark.looptime(noop_cycles=1)

CHAT = Key("LLMDeployment", NAMESPACE, "chat")


class SlowAnswers:
    """A server whose answers take `seconds` to arrive. Streams are as fast as ever."""

    def __init__(self, server: Transport) -> None:
        self.seconds = 0.0
        self._server = server

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        answer = await self._server.request(method, path, query, body, content_type)
        await asyncio.sleep(self.seconds)
        return answer

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._server.stream(path, query)

    async def close(self) -> None: ...


class World:
    """ConfigMaps of `chat`, and a view of them over a wire that lags."""

    def __init__(self) -> None:
        server = ApiServer(CRDS, namespaces=(NAMESPACE,), gc_seconds=None)
        self.truth = Client(server)
        self.answers = SlowAnswers(server)
        self.wire = Wire(self.answers)
        self.view = View(Client(self.wire), (NAMESPACE,), lambda *_: None, CountingMeter(), random.Random(0))

    async def create(self, name: str) -> None:
        """One of our own writes."""
        child = with_meta(a_child(name=name, data={"value": "1"}), namespace=NAMESPACE)
        self.view.own_writes.wrote(CHAT, await self.truth.create(child, "sluicegate"))

    async def change(self, name: str, value: str) -> None:
        await self.truth.patch_merge(CONFIG_MAP, NAMESPACE, name, {"data": {"value": value}}, "sluicegate")

    def held(self) -> dict[str, str]:
        return {
            each["metadata"]["name"]: each["data"]["value"]
            for each in self.view.caches["ConfigMap"].everything()
        }


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    async with running(world.view.run()):
        await world.view.synced()
        await asyncio.sleep(1)
        yield world


async def test_a_kind_is_behind_until_its_watch_has_brought_our_writes() -> None:
    async with a_world() as world:
        world.wire.delay = lambda path: 3.0
        await world.create("a")
        await asyncio.sleep(2)
        assert await world.view.behind(CHAT) == ("ConfigMap",)
        await asyncio.sleep(2)
        assert await world.view.behind(CHAT) == ()


async def test_a_kind_that_stays_behind_is_read_live() -> None:
    async with a_world() as world:
        world.wire.delay = lambda path: 60.0
        await world.create("a")
        await asyncio.sleep(PATIENCE_SECONDS + 0.1)
        assert await world.view.behind(CHAT) == ()
        assert world.held() == {"a": "1"}


async def test_what_was_lost_on_its_way_is_read_live_though_the_watch_is_as_far() -> None:
    async with a_world() as world:
        await world.create("a")
        await asyncio.sleep(1)
        cache = world.view.caches["ConfigMap"]
        (lost,) = cache.everything()
        cache.drop(lost)
        world.view.own_writes.missed(CHAT, lost)
        await asyncio.sleep(PATIENCE_SECONDS + 0.1)
        assert await world.view.behind(CHAT) == ()
        assert world.held() == {"a": "1"}


async def test_what_the_watch_brings_while_a_live_read_is_under_way_stays() -> None:
    async with a_world() as world:
        world.wire.delay = lambda path: PATIENCE_SECONDS + 1
        await world.create("changes")
        await world.create("goes")
        await asyncio.sleep(PATIENCE_SECONDS + 0.5)
        world.wire.delay = lambda path: 0.0
        world.answers.seconds = 2
        reading = asyncio.create_task(world.view.behind(CHAT))
        await asyncio.sleep(0.1)
        await world.change("changes", "2")
        await world.truth.delete(CONFIG_MAP, NAMESPACE, "goes")
        await world.create("comes")
        await reading
        assert world.held() == {"changes": "2", "comes": "1"}
