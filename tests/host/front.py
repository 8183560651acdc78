"""The fake API server behind a real HTTP port, with the way of starting a watch that kopf is set to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.sim.apiserver import ApiServer


class Front:
    """`refuse(method, path)` gives the status to answer with instead of the server's answer, or None."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.refuse: Callable[[str, str], int | None] = lambda method, path: None
        self.requests: list[tuple[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        refused = self.refuse(request.method, request.path)
        if refused:
            return web.Response(status=refused)
        query = dict(request.query)
        if query.get("watch") == "true":
            return await self._watch(request, query)
        body = await request.json() if request.can_read_body else None
        answer = await self.server.request(request.method, request.path, query, body, request.content_type)
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    async def _watch(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if query.pop("sendInitialEvents", None) == "true":
            query["resourceVersion"] = await self._initial(request.path, query, response)
        async with self.server.stream(request.path, query) as stream:
            async for chunk in stream.chunks:
                await response.write(chunk)
        return response

    async def _initial(self, path: str, query: dict[str, str], response: web.StreamResponse) -> str:
        """Send what is there and the bookmark that ends it; returns the version to go on from."""
        listing = json.loads((await self.server.request("GET", path, {}, None, "")).body)
        version = str(listing["metadata"]["resourceVersion"])
        for item in listing["items"]:
            await response.write(_line("ADDED", item))
        meta = {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}
        await response.write(_line("BOOKMARK", {"metadata": meta}))
        return version


@asynccontextmanager
async def a_front(server: ApiServer) -> AsyncIterator[tuple[Front, str]]:
    """Serves inside the context; gives the front and its URL."""
    front = Front(server)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.handle)
    async with TestServer(app) as http:
        yield front, str(http.make_url("")).rstrip("/")


def _line(kind: str, obj: Any) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"
