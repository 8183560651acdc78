"""The control port: what the operator reads and orders. Only with the token of this deployment."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sluicegate_engine.link import SupervisorLink
from sluicegate_engine.reload.order import MalformedError, parse_order
from sluicegate_engine.reload.reloads import OrderError, Reloads
from sluicegate_engine.status import Status

_ORDER_BYTES = 16 << 20
"""Golden prompts come with the order."""


class ControlServer:
    """GET /status, and POST /drain, /reload and /cancel; ordering twice does no harm."""

    def __init__(
        self,
        status: Status,
        link: SupervisorLink,
        token_file: Path,
        drain: Callable[[], None],
        reloads: Reloads,
    ) -> None:
        self._status = status
        self._link = link
        self._token_file = token_file
        self._drain = drain
        self._reloads = reloads

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard()], client_max_size=_ORDER_BYTES)
        app.router.add_get("/status", self._show)
        app.router.add_post("/drain", self._order_drain)
        app.router.add_post("/reload", self._order_reload)
        app.router.add_post("/cancel", self._order_cancel)
        return app

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._authorised(request):
                return web.json_response({"error": "a valid bearer token is required"}, status=401)
            return await handler(request)

        return guard

    def _authorised(self, request: web.Request) -> bool:
        try:
            # Read each time: Kubernetes swaps the mounted file when the Secret changes.
            token = self._token_file.read_bytes().strip()
        except OSError:
            return False
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        return bool(token) and hmac.compare_digest(given, b"Bearer " + token)

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response(self._describe())

    async def _order_drain(self, _: web.Request) -> web.Response:
        self._drain()
        return web.json_response(self._describe(), status=202)

    async def _order_reload(self, request: web.Request) -> web.Response:
        try:
            self._reloads.begin(parse_order(await request.read()))
        except MalformedError as error:
            return web.json_response({"error": str(error), "reason": "Malformed"}, status=400)
        except OrderError as error:
            return web.json_response({"error": str(error), "reason": error.reason}, status=error.status)
        return web.json_response(self._describe(), status=202)

    async def _order_cancel(self, _: web.Request) -> web.Response:
        self._reloads.cancel()
        return web.json_response(self._describe(), status=202)

    def _describe(self) -> dict[str, object]:
        status, report = self._status, self._link.report
        return {
            "phase": status.phase.value,
            "version": status.target.version if status.target else None,
            "digest": status.target.digest if status.target else None,
            "vllm": status.vllm,
            "ready": status.ready,
            "inFlight": report.in_flight if report else 0,
            "queued": report.queued if report else 0,
            "since": status.since.isoformat(timespec="milliseconds"),
            "message": status.message,
            "measured": self._link.measured,
            "sequence": status.sequence,
            "reload": status.reload.describe() if status.reload else None,
        }
