"""A transport that answers from a script and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sluicegate.kube.transport import Query, Response, Stream


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Query
    body: Mapping[str, Any] | None = None
    content_type: str = ""


@dataclass
class Scripted:
    """Answers in the order given: a Response, an exception to raise, or a coroutine function to await."""

    answers: list[Any] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)
    stream_status: int = 200
    asked: list[Asked] = field(default_factory=list)
    closed_streams: int = 0

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        self.asked.append(Asked(method, path, query, body, content_type))
        return await self._play(self.answers.pop(0))

    @asynccontextmanager
    async def stream(self, path: str, query: Query) -> AsyncIterator[Stream]:
        self.asked.append(Asked("GET", path, query))
        try:
            yield Stream(self.stream_status, self._chunks(), {})
        finally:
            self.closed_streams += 1

    async def close(self) -> None: ...

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield await self._play(chunk)

    async def _play(self, step: Any) -> Any:
        if isinstance(step, BaseException):
            raise step
        return await step() if isinstance(step, Callable) else step


async def silence() -> None:
    await asyncio.Event().wait()


def ok(obj: Mapping[str, Any], status: int = 200) -> Response:
    return Response(status, json.dumps(obj).encode())


def refusal(
    code: int, reason: str = "", headers: Mapping[str, str] | None = None, **details: Any
) -> Response:
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no"}
    return Response(code, json.dumps({**status, "details": details}).encode(), headers or {})


def line(kind: str, obj: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"
