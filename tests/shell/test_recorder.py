"""Events: at most one a minute of each reason, repetitions as a series, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from tests.shell.kit import CountingMeter, running
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer, loop_time

from sluicegate.core.plan import Event
from sluicegate.kube.client import Client
from sluicegate.kube.resources import EVENT
from sluicegate.kube.transport import Response
from sluicegate.shell.recorder import BACKLOG, Recorder

pytestmark = pytest.mark.looptime(noop_cycles=1)

READY = Event("Normal", "Serving", "v1 answers")
CHAT = {
    "apiVersion": "sluicegate.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"namespace": "default", "name": "chat", "uid": "u1", "resourceVersion": "7"},
}


class World:
    def __init__(self) -> None:
        self.server = ApiServer()
        self.wire = Wire(self.server)
        self.meter = CountingMeter()
        names = count()
        self.recorder = Recorder(
            Client(self.wire), "operator-0", loop_time, lambda: str(next(names)), self.meter
        )

    async def events(self) -> list[dict[str, Any]]:
        await asyncio.sleep(1)
        return (await Client(self.server).list(EVENT, "default")).items


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    async with running(world.recorder.run()):
        yield world


async def test_an_event_says_what_happened_to_whom() -> None:
    async with a_world() as world:
        world.recorder.record(CHAT, READY)
        (event,) = await world.events()
        assert (event["type"], event["reason"], event["note"]) == ("Normal", "Serving", "v1 answers")
        assert event["regarding"]["name"] == "chat"
        assert event["reportingController"] == "sluicegate.dev/operator"


async def test_repetitions_within_a_minute_are_not_sent_and_later_ones_are_counted_in_a_series() -> None:
    async with a_world() as world:
        for _ in range(10):
            world.recorder.record(CHAT, READY)
            await asyncio.sleep(5)
        assert len(world.wire.writes) == 1
        await asyncio.sleep(20)
        world.recorder.record(CHAT, READY)
        (event,) = await world.events()
        assert event["series"]["count"] == 11


async def test_another_reason_and_another_object_are_sent_at_once() -> None:
    async with a_world() as world:
        world.recorder.record(CHAT, READY)
        world.recorder.record(CHAT, Event("Warning", "AnswerFailed", "HTTP 500"))
        world.recorder.record({**CHAT, "metadata": {**CHAT["metadata"], "uid": "u2"}}, READY)  # type: ignore[dict-item]
        assert len(await world.events()) == 3


async def test_another_text_of_a_reason_is_a_new_event_after_its_minute() -> None:
    async with a_world() as world:
        world.recorder.record(CHAT, READY)
        await asyncio.sleep(61)
        world.recorder.record(CHAT, Event("Normal", "Serving", "v2 answers"))
        assert {each["note"] for each in await world.events()} == {"v1 answers", "v2 answers"}


async def test_a_lost_event_is_counted_and_the_next_is_sent() -> None:
    async with a_world() as world:
        world.wire.refuse = lambda method, path: Response(403, b"forbidden")
        world.recorder.record(CHAT, READY)
        await asyncio.sleep(1)
        world.wire.refuse = lambda method, path: None
        world.recorder.record(CHAT, Event("Normal", "Switched", "to v2"))
        assert [each["reason"] for each in await world.events()] == ["Switched"]
        assert world.meter.counts["lost",] == 1


async def test_a_full_backlog_drops_instead_of_waiting() -> None:
    world = World()
    for number in range(BACKLOG + 5):
        world.recorder.record(CHAT, Event("Normal", f"R{number}", "x"))
    assert world.meter.counts["lost",] == 5


async def test_a_note_is_cut_at_the_api_servers_limit_of_bytes() -> None:
    async with a_world() as world:
        world.recorder.record(CHAT, Event("Normal", "Serving", "ü" * 2000))
        (event,) = await world.events()
        assert event["note"] == "ü" * 512
