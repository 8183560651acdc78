"""The probe port: read-only, without a token, answering from the first second to the last."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from sluicegate_engine.gate_settings import KEY_HEADER
from sluicegate_engine.metrics import Metrics
from sluicegate_engine.status import Phase, Status

_SCRAPE_SECONDS = 5.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class ProbeServer:
    """GET /ready, /livez and /metrics (vLLM's page, fetched, and ours)."""

    def __init__(
        self, status: Status, metrics: Metrics, session: aiohttp.ClientSession, base_url: str, key: str
    ) -> None:
        self._status = status
        self._metrics = metrics
        self._session = session
        self._base_url = base_url
        self._key = key

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/metrics", self._page)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        status = self._status
        reason = "Reloading" if status.held_too_long else status.reason
        body = {"ready": status.ready, "reason": reason, "message": status.message}
        return web.json_response(body, status=200 if status.ready else 503)

    async def _livez(self, _: web.Request) -> web.Response:
        alive = self._status.phase is not Phase.FAILED
        return web.Response(text=self._status.phase.value, status=200 if alive else 503)

    async def _page(self, _: web.Request) -> web.Response:
        page = await self._engine_page() + self._metrics.render()
        return web.Response(body=page, headers={"content-type": _TEXT})

    async def _engine_page(self) -> bytes:
        """vLLM's own page, or nothing while vLLM does not answer: ours must not depend on it."""
        try:
            timeout = aiohttp.ClientTimeout(total=_SCRAPE_SECONDS)
            headers = {KEY_HEADER: self._key}
            async with self._session.get(
                f"{self._base_url}/metrics", headers=headers, timeout=timeout
            ) as answer:
                page = await answer.read() if answer.status == 200 else b""
        except (TimeoutError, aiohttp.ClientError):
            return b""
        return page if not page or page.endswith(b"\n") else page + b"\n"
