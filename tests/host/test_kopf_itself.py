"""Three traits of kopf that the operator is built around.

A newer kopf that fails a test here has likely become better: the message says what may become simpler.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
from tests.builders import ADeployment
from tests.host.front import Front, a_front
from tests.sim.apiserver import ApiServer
from tests.sim.server.kinds import read_crds

from sluicegate.host.kopf_host import Forever, kopf_settings
from sluicegate.kube.client import Client
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.kube.transport import Query, Stream

CRDS = Path(__file__).parents[2] / "crds"

Event = tuple[str | None, dict[str, Any]]


class World:
    """An API server, and kopf with the operator's settings and one handler of events, `observe`."""

    def __init__(self, front: Front, url: str) -> None:
        self.front = front
        self.truth = Client(front.server)
        self.events: list[Event] = []
        self.observe: Callable[[Event], Any] = self.note
        self._news = asyncio.Condition()
        self._url = url

    async def create(self, name: str) -> None:
        manifest = ADeployment().build()
        await self.truth.create({**manifest, "metadata": {"namespace": "models", "name": name}}, "kubectl")

    async def seen(self, event: str | None, name: str) -> None:
        """Returns once the handler was given such an event of this object."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(
                lambda: any(kind == event and _name(obj) == name for kind, obj in self.events)
            )

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """While the block runs, each watch is refused; it begins once kopf has come with one."""
        came = asyncio.Event()

        def refuse(method: str, path: str) -> int:
            came.set()
            return 503

        self.front.refuse = refuse
        async with asyncio.timeout(10):
            await came.wait()
        yield
        self.front.refuse = lambda method, path: None

    async def run(self) -> None:
        """kopf, until it is cancelled or ends by itself, which raises what ended it."""
        registry = kopf.OperatorRegistry()
        settings = kopf_settings(random.Random(0))
        settings.networking.error_backoffs = Forever(0.01)
        settings.watching.server_timeout = 1
        settings.watching.reconnect_backoff = 0.01
        group, _, version = LLM_DEPLOYMENT.api_version.partition("/")

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=self._url)

        @kopf.on.event(group, version, LLM_DEPLOYMENT.plural, registry=registry)
        async def observe(event: kopf.RawEvent, **_: Any) -> None:
            await self.observe((event["type"], dict(event["object"])))

        await kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True)

    async def note(self, event: Event) -> None:
        async with self._news:
            self.events.append(event)
            self._news.notify_all()


@asynccontextmanager
async def a_world(*names: str, server: type[ApiServer] = ApiServer) -> AsyncIterator[World]:
    """With these LLMDeployments in it, and kopf not yet started."""
    async with a_front(server(read_crds(CRDS), namespaces=("models",))) as (front, url):
        world = World(front, url)
        for name in names:
            await world.create(name)
        yield world


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_deletion_that_falls_into_a_gap_of_the_watch_is_never_reported() -> None:
    async with a_world("gone") as world, running(world):
        # given an object that kopf has shown
        await world.seen(None, "gone")
        # when it is deleted while the watch is down, and the watch's place in history is compacted away
        async with world.down():
            await world.truth.delete(LLM_DEPLOYMENT, "models", "gone")
            await world.create("kept")
            world.front.server.store.compacted = world.front.server.store.version
        # then the new list is shown, and not what is missing in it
        await world.seen(None, "kept")
        await world.truth.delete(LLM_DEPLOYMENT, "models", "kept")
        await world.seen("DELETED", "kept")
    deleted = [_name(obj) for kind, obj in world.events if kind == "DELETED"]
    assert deleted == ["kept"], (
        "this kopf reports deletions that fell into a gap: shell/resync need not look for vanished objects"
    )


async def test_an_error_in_the_watch_other_than_410_ends_kopf() -> None:
    async with a_world(server=_Erring) as world:
        kopf_itself = asyncio.create_task(world.run())
        ended, _ = await asyncio.wait([kopf_itself], timeout=5)
        kopf_itself.cancel()
        assert ended, (
            "this kopf outlasts errors in a watch: host/process need not take its end for a matter of course"
        )
        with pytest.raises(Exception, match=r"Error in the watch-stream: .*etcdserver: leader changed"):
            await kopf_itself


async def test_events_of_one_object_are_handled_one_after_the_other_each_with_its_own_stale_body() -> None:
    async with a_world("chat") as world, running(world):
        await world.seen(None, "chat")
        # given a handler that takes its time
        at_work, most = 0, 0

        async def slowly(event: Event) -> None:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.02)
            at_work -= 1
            await world.note(event)

        world.observe = slowly
        # when the object changes faster than that
        for replicas in range(2, 12):
            await world.truth.patch_merge(
                LLM_DEPLOYMENT, "models", "chat", {"spec": {"replicas": replicas}}, "kubectl"
            )
        await world.truth.delete(LLM_DEPLOYMENT, "models", "chat")
        await world.seen("DELETED", "chat")
    told = [obj["spec"]["replicas"] for kind, obj in world.events if kind == "MODIFIED"]
    assert most == 1, "this kopf runs handlers of one object side by side: its calls must be put in order"
    assert told == list(range(2, 12)), (
        "this kopf coalesces events of one object: its handler may do more than enqueue a key"
    )


class _Erring(ApiServer):
    """Each watch is told of a failure behind the server."""

    @asynccontextmanager
    async def stream(self, path: str, query: Query) -> AsyncIterator[Stream]:
        status = {"kind": "Status", "status": "Failure", "code": 500, "message": "etcdserver: leader changed"}

        async def lines() -> AsyncIterator[bytes]:
            yield json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"

        yield Stream(200, lines())


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])
