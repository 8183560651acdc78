"""A gate around a small application that the test plays by hand."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.engine.asgi_client import Call, settle, start
from tests.engine.clock import Watch
from tests.engine.counts import leave_counts

from sluicegate_engine.admission import Admission
from sluicegate_engine.asgi import App, Receive, Scope, Send
from sluicegate_engine.gate_settings import GateSettings
from sluicegate_engine.link import Command, Report
from sluicegate_engine.measurement import Clock
from sluicegate_engine.middleware import Gate

KEY = "internal-key"
JSON = [(b"content-type", b"application/json")]
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
CHUNK = b'data: {"choices":[{"text":"a","finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"
PROMPT_TOKENS = 31


class Engine:
    """Stands where vLLM stands: takes requests and answers each when told to."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.sends: list[Send] = []
        self.bodies: list[bytes] = []
        self.finish: list[asyncio.Event] = []
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.bodies.append((await receive())["body"])
        self.sends.append(send)
        end = asyncio.Event()
        self.finish.append(end)
        await end.wait()
        if self.error is not None:
            raise self.error

    def count(self, n: int, prompt_tokens: int, output_tokens: int) -> None:
        """As vLLM does before it ends an answer."""
        leave_counts(self.scopes[n], prompt_tokens, output_tokens)

    async def say(
        self, n: int, *bodies: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] = JSON
    ) -> None:
        await self.sends[n]({"type": "http.response.start", "status": status, "headers": headers})
        for body in bodies:
            await self.sends[n]({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, n: int) -> None:
        await self.sends[n]({"type": "http.response.body", "body": b"", "more_body": False})
        self.finish[n].set()

    async def answer(self, n: int, body: bytes = b"{}", status: int = 200) -> None:
        await self.sends[n]({"type": "http.response.start", "status": status, "headers": JSON})
        await self.sends[n]({"type": "http.response.body", "body": body, "more_body": False})
        self.finish[n].set()


class Fixture:
    """A gate in front of an engine, with the supervisor's say in the test's hand."""

    def __init__(
        self,
        app: App,
        max_concurrent: int = 1,
        max_queued: int = 1,
        clock: Clock = time.monotonic_ns,
        **limits: Any,
    ) -> None:
        limits = {"max_body_bytes": 100, **limits}
        settings = GateSettings("/nowhere", KEY, "v1", max_concurrent, max_queued, **limits)
        self.log: list[bytes] = []
        self.gate = Gate(app, settings, clock, self.log.append)
        self.command(Admission.OPEN)

    def command(self, admission: Admission, version: str = "v1") -> None:
        self.gate._obey(Command(admission, version))

    def lose_supervisor(self) -> None:
        self.gate._obey(None)

    @property
    def report(self) -> Report:
        return self.gate._report()


async def admitted(gate: Fixture, body: bytes = b"{}", path: str = "/v1/completions", **options: Any) -> Call:
    call = start(gate.gate, path, body, **options)
    await settle()
    return call


def error_type(call: Call) -> str:
    return str(json.loads(call.body)["error"]["type"])


async def timed_stream(
    engine: Engine, watch: Watch, call: Call, *parts: bytes, n: int = 0, tokens: int = 0
) -> None:
    """Answer with these parts, the first after 100 ms and each other 10 ms after the one before.

    Of how many output tokens they were vLLM says, unless they are 0.
    """
    watch.at += 90
    await engine.say(n, headers=STREAM)
    for part in parts:
        watch.at += 10
        await engine.sends[n]({"type": "http.response.body", "body": part, "more_body": True})
    if tokens:
        engine.count(n, PROMPT_TOKENS, tokens)
    await engine.end(n)
    await call.done()
