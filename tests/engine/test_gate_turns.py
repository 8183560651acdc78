"""How many turns of the event loop the gate takes: under load, each has a token of every stream in it.

So one turn more is milliseconds, where what the gate computes is microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.engine.asgi_client import settle, start
from tests.engine.gate import CHUNK, DONE, STREAM, Fixture

from sluicegate_engine.asgi import Message, Receive, Scope, Send

Turns = Callable[[], int]


@pytest.fixture
async def turns() -> AsyncIterator[Turns]:
    """How many turns the loop has taken."""
    loop = asyncio.get_running_loop()
    taken = 0

    def count() -> None:
        nonlocal taken, next_turn
        taken += 1
        next_turn = loop.call_soon(count)

    next_turn = loop.call_soon(count)
    yield lambda: taken
    next_turn.cancel()


async def ask(gate: Fixture, parts: list[bytes], send: Send) -> None:
    """A request that is there whole, in these parts."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting[-1]["more_body"] = False

    async def receive() -> Message:
        return waiting.pop(0)

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    await gate.gate(scope, receive, send)


async def drop(message: Message) -> None:
    """A client that listens to nothing."""


@pytest.mark.parametrize("parts", [[b"{}"], [b"{", b"}"]], ids=["whole", "in parts"])
async def test_a_request_is_with_the_engine_in_the_turn_in_which_it_is_there(
    turns: Turns, parts: list[bytes]
) -> None:
    reached = []

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        reached.append(turns())

    there = turns()
    await ask(Fixture(engine), parts, drop)
    assert reached == [there]


async def test_each_part_of_a_stream_is_on_its_way_in_the_turn_in_which_it_comes(turns: Turns) -> None:
    said, sent = [], []

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in (
            {"type": "http.response.start", "status": 200, "headers": STREAM},
            {"type": "http.response.body", "body": CHUNK, "more_body": True},
            {"type": "http.response.body", "body": DONE, "more_body": True},
            {"type": "http.response.body", "body": b"", "more_body": False},
        ):
            await asyncio.sleep(0)
            said.append(turns())
            await send(message)

    async def send(message: Message) -> None:
        sent.append(turns())

    await ask(Fixture(engine), [b"{}"], send)
    assert (sent, len(sent)) == (said, 4)


async def test_whoever_waits_is_with_the_engine_one_turn_after_there_is_room(turns: Turns) -> None:
    begun, ended = [], []
    end = asyncio.Event()

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(turns())
        await receive()
        await end.wait()
        ended.append(turns())

    gate = Fixture(engine, max_concurrent=1)
    calls = [start(gate.gate) for _ in range(2)]
    await settle()
    assert (len(begun), gate.report.queued) == (1, 1)
    # when
    end.set()
    for call in calls:
        await call.done()
    # then
    assert begun[1] == ended[0] + 1
