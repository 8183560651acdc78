"""Clients that read each answer as it is generated, and write down when each piece of it came."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp

from e2e.lab.traffic import (
    FINISHED,
    VERSION_HEADER,
    Outcome,
    Record,
    around,
    fresh_connections,
    kept_connections,
)

_DATA, _DONE = b"data: ", b"[DONE]"


@dataclass(frozen=True)
class Streamed(Outcome):
    """One streamed answer. Times are monotonic seconds.

    `connection` is a client's number and how many connections it had opened by then; `opens` says whether
    this is the first request on it, `closes` whether the answer said that it is the last. `pieces` are the
    times at which tokens came.
    """

    connection: tuple[int, int]
    opens: bool
    closes: bool
    pieces: tuple[float, ...]


@asynccontextmanager
async def streaming(
    url: str, prompts: Sequence[str], *, clients: int, tokens: int, pause: float = 0.4
) -> AsyncIterator[Record[Streamed]]:
    """Clients that stream one answer after another, with little pause between them, until the block ends.

    Every other one opens a connection for each request. None tries anything twice.
    """
    record, ending = Record[Streamed](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            client = _Client(number, url, tokens, pause)
            group.create_task(client.run(around(prompts, number), record, ending))
        try:
            yield record
        finally:
            ending.set()


@dataclass
class _Answer:
    """What has come of an answer so far."""

    version: str | None = None
    closes: bool = False
    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    done: bool = False
    pieces: list[float] = field(default_factory=list)

    def hear(self, data: bytes) -> None:
        """Take one event. Raises ValueError where it tells of an error, or comes after the end."""
        if self.done:
            raise ValueError(f"after the end: {data!r}")
        if data == _DONE:
            self.done = True
            return
        said: dict[str, Any] = json.loads(data)
        if "error" in said:
            raise ValueError(f"error event {said['error']}")
        self.tokens = (said.get("usage") or {}).get("completion_tokens", self.tokens)
        for choice in said["choices"]:
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            if content := choice["delta"].get("content"):
                self.text += content
                self.pieces.append(time.monotonic())

    def check(self, tokens: int) -> None:
        """Raises ValueError where it is no whole answer."""
        if not self.done:
            raise ValueError(f"it broke off after {len(self.text)} characters")
        if self.finish_reason not in FINISHED:
            raise ValueError(f"finish_reason {self.finish_reason}")
        if self.tokens is None or (self.finish_reason == "length" and self.tokens != tokens):
            raise ValueError(f"{self.tokens} tokens instead of {tokens}")


class _Client:
    """Asks one question at a time, so that it has at most one connection at a time."""

    def __init__(self, number: int, url: str, tokens: int, pause: float) -> None:
        self._number = number
        self._url = url
        self._tokens = tokens
        self._pause = pause
        self._connections = 0

    async def run(self, prompts: Iterator[str], record: Record[Streamed], ending: asyncio.Event) -> None:
        connect = fresh_connections if self._number % 2 == 0 else kept_connections
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        async with connect(trace) as session:
            while not ending.is_set():
                await record.add(await self._ask(session, next(prompts)))
                await asyncio.sleep(self._pause)

    async def _connected(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _: aiohttp.TraceConnectionCreateEndParams,
    ) -> None:
        self._connections += 1

    async def _ask(self, session: aiohttp.ClientSession, prompt: str) -> Streamed:
        began, before, answer, error = time.monotonic(), self._connections, _Answer(), None
        try:
            await self._hear(session, prompt, answer)
            answer.check(self._tokens)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        return Streamed(
            began,
            time.monotonic(),
            prompt,
            answer.version,
            answer.text,
            error,
            connection=(self._number, self._connections),
            opens=self._connections > before,
            closes=answer.closes,
            pieces=tuple(answer.pieces),
        )

    async def _hear(self, session: aiohttp.ClientSession, prompt: str, answer: _Answer) -> None:
        body = {
            "model": "lab",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with session.post(f"{self._url}/v1/chat/completions", json=body) as response:
            answer.version = response.headers.get(VERSION_HEADER)
            answer.closes = response.headers.get("connection", "").lower() == "close"
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}: {await response.text()}")
            async for line in response.content:
                if line := line.strip():
                    if not line.startswith(_DATA):
                        raise ValueError(f"no event: {line!r}")
                    answer.hear(line.removeprefix(_DATA))
