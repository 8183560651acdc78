"""A wire to an API server that can be held up, cut and made to lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sluicegate.kube.errors import from_response
from sluicegate.kube.transport import Query, Response, Stream, Transport

READS = ("GET",)


@dataclass(frozen=True)
class Sent:
    """One request that was sent, at a time of the event loop."""

    at: float
    method: str
    path: str


@dataclass(frozen=True)
class Answered:
    """How one request ended: the HTTP status, and the reason of a refusal."""

    method: str
    path: str
    code: int
    reason: str


@dataclass
class Wire:
    """A transport around another.

    `refuse(method, path)` answers in the server's place, or raises in the network's. `delay(path)` is how
    many seconds each piece of a stream takes; `cut(piece)` shortens a piece, after which the stream breaks;
    `lose(piece)` says whether a piece never comes.
    """

    server: Transport
    refuse: Callable[[str, str], Response | None] = lambda method, path: None
    delay: Callable[[str], float] = lambda path: 0.0
    cut: Callable[[bytes], bytes] = lambda piece: piece
    lose: Callable[[bytes], bool] = lambda piece: False
    sent: list[Sent] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        self.sent.append(Sent(asyncio.get_running_loop().time(), method, path))
        refused = self.refuse(method, path)
        answer = refused or await self.server.request(method, path, query, body, content_type)
        self.answered.append(Answered(method, path, answer.status, _reason(answer)))
        return answer

    @asynccontextmanager
    async def stream(self, path: str, query: Query) -> AsyncIterator[Stream]:
        self.sent.append(Sent(asyncio.get_running_loop().time(), "WATCH", path))
        refused = self.refuse("WATCH", path)
        if refused:
            yield Stream(refused.status, _once(refused.body), refused.headers)
            return
        async with self.server.stream(path, query) as stream:
            yield Stream(stream.status, self._pieces(path, stream.chunks), stream.headers)

    async def close(self) -> None:
        await self.server.close()

    def count(self, method: str, plural: str) -> int:
        return sum(each.method == method and each.path.split("/")[-1] == plural for each in self.sent)

    @property
    def writes(self) -> list[Sent]:
        return [each for each in self.sent if each.method not in ("GET", "WATCH")]

    async def _pieces(self, path: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await asyncio.sleep(self.delay(path))
            if self.lose(piece):
                continue
            whole = self.cut(piece)
            yield whole
            if whole != piece:
                raise ConnectionResetError("cut")


def _reason(answer: Response) -> str:
    if answer.status < 400:
        return ""
    return from_response(answer.status, answer.headers, answer.body).reason


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
