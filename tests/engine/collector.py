"""A stand-in for an OpenTelemetry collector: a real HTTP server that parses what it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Received:
    """A span as it came; times in nanoseconds since 1970."""

    name: str
    trace: str
    span: str
    parent: str
    kind: int
    start: int
    end: int
    failed: bool
    attributes: Attributes
    resource: Attributes


@dataclass
class FakeCollector:
    """`answers` are the HTTP statuses to come, 200 after the last. While `open` is cleared, none comes.

    `led` are the headers of those that /moved has sent elsewhere, as they come there.
    """

    answers: list[int] = field(default_factory=list)
    spans: list[Received] = field(default_factory=list)
    posts: list[dict[str, str]] = field(default_factory=list)
    led: list[dict[str, str]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.open.set()
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        app.router.add_post("/moved", self._lead)
        app.router.add_get("/elsewhere", self._lead)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        yield
        self.open.set()
        await runner.cleanup()

    async def until(self, count: int) -> list[Received]:
        """Wait for so many spans."""
        await self._until(lambda: len(self.spans) >= count)
        return self.spans

    async def until_asked(self) -> None:
        """Wait for a request, answered or not."""
        await self._until(lambda: bool(self.posts))

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._came.clear()
                await self._came.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self.posts.append({name.lower(): value for name, value in request.headers.items()})
        body = json.loads(await request.read())
        self._came.set()
        await self.open.wait()
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    self.spans += [_read(span, resource["resource"]) for span in scope["spans"]]
        self._came.set()
        return web.json_response({}, status=status)

    async def _lead(self, request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/elsewhere")
        self.led.append(dict(request.headers))
        return web.Response()


def _read(span: dict[str, Any], resource: dict[str, Any]) -> Received:
    assert int(span["traceId"], 16), "no trace"
    assert int(span["spanId"], 16), "no span"
    return Received(
        span["name"],
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId", ""),
        span["kind"],
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        span["status"].get("code") == 2,
        _attributes(span["attributes"]),
        _attributes(resource["attributes"]),
    )


def _attributes(pairs: list[dict[str, Any]]) -> Attributes:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    """As protobuf's JSON mapping has it: 64-bit integers are strings."""
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [_value(each) for each in content["values"]]
    if kind == "intValue":
        assert isinstance(content, str)
        return int(content)
    assert isinstance(content, {"stringValue": str, "doubleValue": float}[kind])
    return content
