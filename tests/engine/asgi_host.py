"""Serves an ASGI application with aiohttp: what uvicorn does for vLLM, for the stand-in of vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sluicegate_engine.asgi import App, Message


@asynccontextmanager
async def serve(app: App, application: object, host: str, port: int) -> AsyncIterator[None]:
    """Listen, run the application's lifespan around the serving, and end requests with it.

    `application` is what Starlette tells middlewares: the innermost one.
    """
    runner = web.AppRunner(_application(app), access_log=None, handler_cancellation=False)
    await runner.setup()
    started = asyncio.Event()
    ending: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    incoming.put_nowait({"type": "lifespan.startup"})

    async def receive() -> Message:
        return incoming.get_nowait() if not incoming.empty() else await ending

    async def send(message: Message) -> None:
        started.set()

    lifespan = asyncio.create_task(_swallow(app({"type": "lifespan", "app": application}, receive, send)))
    await started.wait()
    await web.TCPSite(runner, host, port, shutdown_timeout=1).start()
    yield
    ending.set_result({"type": "lifespan.shutdown"})
    await runner.cleanup()
    await lifespan


def _application(app: App) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await _Exchange(request).run(app)

    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


async def _swallow(work: object) -> None:
    await work  # type: ignore[misc]


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None
        self._read = False
        self._over = asyncio.Event()

    async def run(self, app: App) -> web.StreamResponse:
        request = self._request
        headers = [(k.lower().encode(), v.encode()) for k, v in request.headers.items()]
        scope = {"type": "http", "method": request.method, "path": request.path, "headers": headers}
        watch = asyncio.create_task(self._watch_client())
        try:
            await app(scope, self._receive, self._send)
        except Exception:
            # As uvicorn does: what was begun is broken off, what was answered stays answered.
            if self._response is None:
                return web.Response(status=500, text="Internal Server Error")
        finally:
            watch.cancel()
        return self._response or web.Response(status=500)

    async def _watch_client(self) -> None:
        while True:
            if self._request.transport is None:
                return self._over.set()
            await asyncio.sleep(0.01)

    async def _receive(self) -> Message:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": await self._request.read(), "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._response = web.StreamResponse(status=message["status"])
            for name, value in message["headers"]:
                self._response.headers.add(name.decode(), value.decode())
            if self._response.headers.get("connection") == "close":
                self._response.force_close()
            await self._response.prepare(self._request)
            return
        assert self._response is not None
        if message.get("body"):
            await self._response.write(message["body"])
        if not message.get("more_body", False):
            await self._response.write_eof()
            self._over.set()
