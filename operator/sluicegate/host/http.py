"""/healthz, /readyz and /metrics on one port, for kubelet and Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sluicegate.host.health import Health

Problems = Callable[[], tuple[str, ...]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def http_server(
    port: int, health: Health, exposition: Callable[[], bytes], host: str | None = None
) -> AsyncIterator[int]:
    """Serves inside the context, by IPv4 and IPv6 unless a host is named.

    Gives the port, which is chosen by the system where `port` is 0.
    """
    app = web.Application()
    app.router.add_get("/healthz", _probe(health.unhealthy))
    app.router.add_get("/readyz", _probe(health.unready))
    app.router.add_get("/metrics", _metrics(exposition))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _probe(problems: Problems) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        found = problems()
        return web.Response(text="\n".join(found) or "ok", status=503 if found else 200)

    return answer


def _metrics(exposition: Callable[[], bytes]) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return answer
