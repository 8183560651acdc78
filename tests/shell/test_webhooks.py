"""Webhooks, asked over real HTTP on the loopback interface: what they may say, and what they may not do."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.shell.kit import a_key

from sluicegate.core.observed import Reply
from sluicegate.core.plan import Ask, Consult
from sluicegate.shell import runtime
from sluicegate.shell.keys import Key
from sluicegate.shell.pods import HttpPods
from sluicegate.shell.runtime import RuntimeCalls
from sluicegate.shell.webhooks import LONGEST_TEXT, HttpWebhooks

START = datetime(2026, 1, 1, tzinfo=UTC)
QUESTION = {"namespace": "models", "name": "chat", "rollout": "0a1b2c3d", "version": "v2"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class World:
    """A webhook that answers as `answer` says, and the calls to it."""

    def __init__(self) -> None:
        self.requeued: asyncio.Queue[Key] = asyncio.Queue()
        self.requests: list[tuple[str, str, Any, Any]] = []
        self.answer: Handler = says(200)
        self.pods = HttpPods()
        self.webhooks = HttpWebhooks()
        self.calls = RuntimeCalls(
            self.pods, self.webhooks, lambda: START, self.requeued.put_nowait, lambda: True
        )
        self.consult = Consult("webhook/1", "", QUESTION, 5, "why")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.method, request.path_qs, body, request.headers))
        return await self.answer(request)

    async def ask(self, consult: Consult | None = None) -> Reply:
        self.calls.start(a_key(), consult or self.consult)
        assert await self.requeued.get() == a_key()
        return self.calls.replies(a_key())["webhook/1"]


def says(status: int, text: str = "", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", world.handle)
    async with TestServer(app) as server:
        world.consult = replace(world.consult, url=f"{server.make_url('/gate')}?key=1")
        try:
            yield world
        finally:
            await world.calls.close()
            await world.pods.aclose()
            await world.webhooks.aclose()


async def test_a_webhook_is_told_the_rollout_in_json_and_in_a_header() -> None:
    async with a_world() as world:
        reply = await world.ask()
        assert (reply.at, reply.status, reply.text, reply.error) == (START, 200, "", None)
        ((method, path, body, headers),) = world.requests
        assert (method, path, body) == ("POST", "/gate?key=1", QUESTION)
        assert headers["x-sluicegate-rollout"] == "0a1b2c3d"
        assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("status", "told"), [(200, ""), (403, "for a reason"), (500, "")])
async def test_the_status_is_told_and_of_a_refusal_its_text(status: int, told: str) -> None:
    async with a_world() as world:
        world.answer = says(status, "for a reason")
        reply = await world.ask()
        assert (reply.status, reply.text) == (status, told)


async def test_an_agreement_whose_text_never_ends_is_one() -> None:
    async def goes_on(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        return await never(request)

    async with a_world() as world:
        world.answer = goes_on
        assert (await world.ask()).status == 200


async def test_of_a_huge_answer_the_beginning_is_read_and_no_more() -> None:
    sent = 0

    async def pours(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)
            sent += 65_536

    async with a_world() as world:
        world.answer = pours
        reply = await world.ask()
        assert (reply.status, reply.text) == (403, "x" * LONGEST_TEXT)
        assert sent < 64 * 1024 * 1024


async def test_a_packed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(b"0" * 10_000_000)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403, body=packed, headers={"Content-Encoding": "gzip"})

    async with a_world() as world:
        world.answer = answer
        reply = await world.ask()
        assert reply.status == 403
        assert len(reply.text) <= LONGEST_TEXT
        assert "000" not in reply.text


async def test_a_redirect_is_not_followed() -> None:
    async with a_world() as world:
        world.answer = says(307, Location="/elsewhere")
        reply = await world.ask()
        assert reply.status == 307
        assert [path for _, path, *_ in world.requests] == ["/gate?key=1"]


async def test_no_cookie_is_kept() -> None:
    async with a_world() as world:
        world.answer = says(503, **{"Set-Cookie": "session=1"})
        await world.ask()
        await world.ask()
        assert "cookie" not in world.requests[1][3]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with a_world() as world:
        assert (await world.ask()).status == 200


async def test_one_that_does_not_answer_in_time_is_none() -> None:
    async with a_world() as world:
        world.answer = never
        reply = await world.ask(replace(world.consult, timeout_seconds=1))
        assert (reply.status, reply.error) == (None, "no answer within 1 s")


async def test_one_that_stops_in_the_middle_of_its_text_is_none() -> None:
    async def stops(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403, headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"not ")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with a_world() as world:
        world.answer = stops
        reply = await world.ask()
        assert (reply.status, reply.error) == (None, "the connection broke")


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# address -> words
NOWHERE = {
    "nobody listens": (f"http://127.0.0.1:{a_free_port()}/", "the connection could not be made"),
    "no name": (f"http://{'x' * 64}.test/", "the address cannot be read"),
    "no address": ("http://[::/", "the address cannot be read"),
    "no port": ("http://127.0.0.1:99999/", "the address cannot be read"),
    "a link-local address": ("http://169.254.169.254/latest", "a link-local address is not asked"),
    "one in disguise": ("http://[::ffff:169.254.169.254]/", "a link-local address is not asked"),
    "one in hexadecimals": ("http://0xA9FEA9FE/", "a link-local address is not asked"),
    "one as a number": ("http://2852039166/", "the address cannot be read"),
    "one of the next version": ("http://[fe80::1]/", "a link-local address is not asked"),
}


@pytest.mark.parametrize(("url", "words"), NOWHERE.values(), ids=NOWHERE)
async def test_an_address_at_which_nobody_may_be_asked_is_none(url: str, words: str) -> None:
    async with a_world() as world:
        reply = await world.ask(replace(world.consult, url=url))
        assert (reply.status, reply.error) == (None, words)


async def test_a_name_that_nobody_knows_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with a_world() as world:
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        reply = await world.ask(replace(world.consult, url="http://gate.test/"))
        assert (reply.status, reply.error) == (None, "its name is not known")


async def test_a_server_that_is_not_trusted_is_none() -> None:
    async with a_world() as world:
        reply = await world.ask(replace(world.consult, url=world.consult.url.replace("http:", "https:")))
        assert reply.status is None
        assert reply.error in ("the connection could not be made", "the connection broke")


async def test_slow_webhooks_make_nobody_wait_for_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "WEBHOOKS_AT_A_TIME", 1)
    async with a_world() as world:
        held = asyncio.Event()

        async def slowly(request: web.Request) -> web.StreamResponse:
            if request.path == "/gate":
                held.set()
                return await never(request)
            return await says(503)(request)

        world.answer = slowly
        world.calls.start(a_key(), world.consult)
        world.calls.start(a_key("other"), world.consult)
        await held.wait()
        pod = world.consult.url.partition("/gate")[0]
        world.calls.start(a_key("third"), Ask("service/1", pod, "chat", "why"))
        assert await world.requeued.get() == a_key("third")
        assert [path for _, path, *_ in world.requests] == ["/gate?key=1", "/v1/completions"]
        world.answer = says(200)
        world.calls.forget(a_key())
        assert await world.requeued.get() == a_key("other")
        assert world.calls.replies(a_key()) == {}
