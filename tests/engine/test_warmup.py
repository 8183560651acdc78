"""The first generation: what passes for one, and how long it may take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.warmup import engine_version, warm_up

GOOD = {"choices": [{"text": "a", "finish_reason": "length"}]}
Warm = Callable[..., Awaitable[dict[str, object]]]


@pytest.fixture
async def warm() -> AsyncIterator[Warm]:
    """Warms up an engine that answers this after so many seconds. Returns what it was asked."""
    servers: list[TestServer] = []

    async def run(
        answer: str, status: int = 200, seconds: float = 0, patience: float = 300
    ) -> dict[str, object]:
        asked: dict[str, object] = {}

        async def complete(request: web.Request) -> web.Response:
            asked.update(await request.json())
            await asyncio.sleep(seconds)
            return web.Response(text=answer, status=status, content_type="application/json")

        application = web.Application()
        application.router.add_post("/v1/completions", complete)
        servers.append(TestServer(application))
        await servers[-1].start_server()
        timeout = aiohttp.ClientTimeout(total=patience)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await warm_up(session, str(servers[-1].make_url("")).rstrip("/"), "chat", "key")
        return asked

    yield run
    for server in servers:
        await server.close()


async def test_a_generation_that_ends_as_asked_is_enough(warm: Warm) -> None:
    await warm(json.dumps(GOOD))


async def test_what_log_probabilities_need_is_compiled_before_anybody_asks_for_them(warm: Warm) -> None:
    assert (await warm(json.dumps(GOOD)))["logprobs"] == 0


async def test_only_our_own_bound_ends_the_waiting(warm: Warm) -> None:
    await warm(json.dumps(GOOD), seconds=0.2, patience=0.05)


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        "null",
        '"text"',
        "no JSON",
        '{"choices": []}',
        '{"choices": {}}',
        '{"choices": [7]}',
        '{"choices": [{}]}',
        '{"choices": [{"finish_reason": "abort"}]}',
    ],
)
async def test_anything_else_is_said_to_have_failed(warm: Warm, answer: str) -> None:
    with pytest.raises(FatalError, match="WarmupFailed"):
        await warm(answer)


@pytest.mark.parametrize(
    ("answer", "status", "version"),
    [
        ('{"version": "0.32.0"}', 200, "0.32.0"),
        ('{"version": 7}', 200, None),
        ("[]", 200, None),
        ("no JSON", 200, None),
        ("{}", 404, None),
    ],
)
async def test_the_version_is_what_the_engine_says_or_nothing(
    answer: str, status: int, version: str | None
) -> None:
    async def told(request: web.Request) -> web.Response:
        assert request.headers["x-sluicegate-key"] == "key"
        return web.Response(text=answer, status=status, content_type="application/json")

    application = web.Application()
    application.router.add_get("/version", told)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        assert await engine_version(session, str(server.make_url("")).rstrip("/"), "key") == version


async def test_an_engine_that_nobody_listens_for_has_no_version() -> None:
    async with aiohttp.ClientSession() as session:
        assert await engine_version(session, "http://127.0.0.1:1", "key") is None


async def test_an_error_is_quoted(warm: Warm) -> None:
    with pytest.raises(FatalError, match=r"HTTP 500: .'error': 'no'"):
        await warm('{"error": "no"}', status=500)
