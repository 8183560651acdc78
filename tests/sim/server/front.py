"""An HTTP front of the fake API server, for clients that cannot be given a transport (kopf, kubectl)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from tests.sim.apiserver import ApiServer


@asynccontextmanager
async def served(server: ApiServer) -> AsyncIterator[str]:
    """Serve on a free port of the loopback device; answers the URL. In real time, not in virtual."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") in ("true", "1"):
            return await _watched(server, request)
        text = await request.text()
        answered = await server.request(
            request.method,
            request.path,
            request.query,
            json.loads(text) if text else None,
            request.content_type,
        )
        return web.Response(
            status=answered.status,
            body=answered.body,
            headers=answered.headers,
            content_type="application/json",
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    # Open watches end with the server; nothing is worth waiting for.
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _watched(server: ApiServer, request: web.Request) -> web.StreamResponse:
    async with server.stream(request.path, request.query) as stream:
        response = web.StreamResponse(status=stream.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async for chunk in stream.chunks:
            with suppress(ConnectionError):
                await response.write(chunk)
        return response
