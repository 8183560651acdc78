"""kopf beside a real HTTP server: what we need of it, and its traits that we build on or around."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import kopf
import pytest
from tests.builders import ADeployment, a_model_version
from tests.host.front import Front, a_front
from tests.sim.apiserver import ApiServer
from tests.sim.server.kinds import read_crds

from sluicegate.core.objects import Manifest
from sluicegate.host import kopf_host
from sluicegate.host.kopf_host import Forever, KopfHost, kopf_settings
from sluicegate.kube.client import Client
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.shell.intake import Intake
from sluicegate.shell.keys import Key
from sluicegate.shell.workqueue import WorkQueue

CRDS = Path(__file__).parents[2] / "crds"
CHAT = Key("LLMDeployment", "models", "chat")
V1 = Key("ModelVersion", "models", "v1")


class World:
    def __init__(self, front: Front, url: str) -> None:
        self.front = front
        self.truth = Client(front.server)
        self.queue = WorkQueue()
        self.intake = Intake(self.queue)
        self.stop = asyncio.Event()
        self.url = url
        self.host = KopfHost(self.intake, ("",), random.Random(0), self.login)

    async def login(self, **_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=self.url)

    async def create(self, obj: Manifest) -> None:
        meta = {key: obj["metadata"][key] for key in ("namespace", "name")}
        await self.truth.create({**obj, "metadata": meta}, "kubectl")

    async def next_keys(self, count: int) -> set[Key]:
        async with asyncio.timeout(10):
            keys = [await self.queue.get() for _ in range(count)]
        for key in keys:
            self.queue.done(key)
        return set(keys)


@asynccontextmanager
async def a_world(*objects: Manifest) -> AsyncIterator[World]:
    server = ApiServer(read_crds(CRDS), namespaces=("models",))
    async with a_front(server) as (front, url):
        world = World(front, url)
        for obj in objects:
            await world.create(obj)
        running = asyncio.create_task(world.host.run(world.stop, started=lambda: None))
        try:
            yield world
        finally:
            world.stop.set()
            await running


async def test_what_is_there_at_the_start_and_what_changes_later_is_enqueued() -> None:
    async with a_world(a_model_version()) as world:
        assert await world.next_keys(1) == {V1}
        await world.create(ADeployment().build())
        assert await world.next_keys(2) == {CHAT, V1}


async def test_a_change_of_a_model_version_wakes_the_deployments_that_name_it() -> None:
    async with a_world(a_model_version(), ADeployment().build()) as world:
        await world.next_keys(2)
        live = await world.truth.get(LLM_DEPLOYMENT, "models", "chat")
        assert live["spec"]["modelVersion"] == "v1"
        world.intake.observe({**a_model_version()}, priority=0)  # type: ignore[arg-type]
        assert await world.next_keys(2) == {CHAT, V1}


async def test_a_deletion_wakes_the_object_and_what_it_named() -> None:
    async with a_world(ADeployment().build()) as world:
        await world.next_keys(2)
        await world.truth.delete(LLM_DEPLOYMENT, "models", "chat")
        assert await world.next_keys(2) == {CHAT, V1}


async def test_it_only_reads() -> None:
    async with a_world(a_model_version(), ADeployment().build()) as world:
        await world.next_keys(2)
        assert {method for method, _ in world.front.requests} == {"GET"}


async def test_it_stops_when_told_and_then_counts_as_ended() -> None:
    async with a_world(ADeployment().build()) as world:
        await world.next_keys(2)
        assert world.host.is_alive
    assert not world.host.is_alive


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_an_outage_at_the_start_is_outlasted(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf_host, "BACK_OFFS", Forever(0.01))
    outage = iter([status] * 20)

    async with a_world() as world:
        world.front.refuse = lambda method, path: next(outage, None) if "llmdeployments" in path else None
        await world.create(ADeployment().build())
        assert CHAT in await world.next_keys(2)


def test_delays_go_on_for_ever_and_start_anew_for_each_request() -> None:
    delays = Forever(1, 2)
    for _ in range(2):
        endless = iter(delays)
        assert [next(endless) for _ in range(4)] == [1, 2, 2, 2]
    assert not hasattr(delays, "__len__")


def test_the_settings_leave_nothing_for_kopf_to_write() -> None:
    settings = kopf_settings(random.Random(0))
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.watching.chunk_size is None
    assert settings.queueing.worker_limit is None
    assert settings.execution.max_workers == 1
