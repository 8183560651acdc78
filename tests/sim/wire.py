"""The operator's way to the API server: it takes time, is counted, and fails where the script says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

import orjson
from tests.sim import faults, latency
from tests.sim.apiserver import EPOCH, ApiServer
from tests.sim.clock import now
from tests.sim.conditions import Conditions, Gap, Past, plural_in
from tests.sim.faults import Channel, Script
from tests.sim.standstill import Gate

from sluicegate.kube.transport import Query, Response, Stream, Transport

COALESCE_SECONDS = 5.0
"""For at least as long a stream tells nothing, and then of each object only what came last."""
EXPIRED_SECONDS = 5.0
PAST_SECONDS = 5.0
LARGE_BYTES = 1_200_000
FOREVER = 1e9
FLIGHT = "flight"
"""The task of a request that is on its way. One that never arrives never ends."""
_BOOKMARK = b'{"type": "BOOKMARK"'
_MODIFIED = b'{"type": "MODIFIED"'


@dataclass(frozen=True)
class Call:
    """One request of an operator: its number in its channel, who sent it and when, when it was carried out,
    and what came of it.
    """

    channel: Channel
    number: int
    sender: str
    sent: float
    at: float
    method: str
    path: str
    outcome: str

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "LIST", "WATCH")


@dataclass(frozen=True)
class Line:
    """One line of a watch that the operator was to be told."""

    number: int
    at: float
    text: bytes

    def __str__(self) -> str:
        event = orjson.loads(self.text)
        obj = event["object"]
        return f"{event['type']} {obj.get('kind')} {obj.get('metadata', {}).get('name', '')}"


@dataclass(frozen=True)
class Order:
    """An order of an operator to a model pod: who sent it when, to which pod, what it says, and its fault."""

    number: int
    sender: str
    sent: float
    pod: str
    text: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.text} to {self.pod}"


@dataclass
class Journal:
    """What an operator did and was told, in all its lives."""

    calls: list[Call] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def writes(self, since: int = 0) -> list[Call]:
        """The writes after the first `since` calls; the Lease's left out."""
        return [call for call in self.calls[since:] if call.is_write and call.channel is Channel.CALL]


@dataclass
class Wire:
    """A transport of one process, `sender`. `kill` is called at a crash, and nothing is sent after it.

    `writing` is entered around every write of this process that reaches the server.
    """

    server: ApiServer
    way: Transport
    script: Script
    journal: Journal
    sender: str
    gate: Gate
    kill: Callable[[], None]
    writing: Callable[[], AbstractContextManager[None]] = nullcontext
    conditions: Conditions = field(default_factory=Conditions)
    severed: bool = False

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        verb = "LIST" if method == "GET" and _is_list(path) else method
        channel = Channel.LEASE if "/leases" in path else Channel.CALL
        number, what = self.script.next(channel)
        if channel is Channel.CALL and method != "GET":
            _, fault = self.script.next(Channel.WRITE)
            what = what or fault
        call = Call(channel, number, self.sender, now(), 0.0, verb, path, what or "")
        carried = self._carried(call, method, query, body, content_type)
        # What was sent is on its way whatever becomes of its sender, who may stand still or give up.
        flight = asyncio.create_task(carried, name=FLIGHT, context=Context())
        flight.add_done_callback(_noticed)
        return await asyncio.shield(flight)

    async def _carried(
        self, call: Call, method: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        await self.gate.passed()
        if self.severed:
            await asyncio.sleep(FOREVER)
        seconds = latency.of(call.method) + self.conditions.answers_take
        await self._travel(seconds / 2)
        if self.conditions.down:
            raise ConnectionRefusedError("nobody listens")
        what = call.outcome or self._refused(call)
        answer = await self._answer(what, method, call.path, query, body, content_type)
        self.journal.calls.append(replace(call, at=now(), outcome=what or str(answer.status)))
        if call.is_write and call.channel is Channel.CALL:
            self.script.next(Channel.ANSWER)
        dated = replace(answer, headers={**answer.headers, "Date": _date(int(now()))})
        await self._travel(seconds / 2)
        return dated

    @asynccontextmanager
    async def stream(self, path: str, query: Query) -> AsyncIterator[Stream]:
        number, what = self.script.next(Channel.CALL)
        sent = now()
        await self._travel(latency.of("WATCH") + self.conditions.answers_take)
        if self.conditions.down:
            raise ConnectionRefusedError("nobody listens")
        call = Call(Channel.CALL, number, self.sender, sent, now(), "WATCH", path, what or "200")
        self.journal.calls.append(call)
        if what in faults.REFUSALS:
            refused = self.server.refusal(int(what), path, faults.RETRY_AFTER_SECONDS)
            yield Stream(refused.status, _once(refused.body), refused.headers)
        elif what is not None:
            await self.fail(what)
        else:
            async with self.way.stream(path, query) as stream:
                yield Stream(stream.status, self._told(path, stream.chunks), stream.headers)

    async def close(self) -> None: ...

    async def _answer(
        self,
        what: str | None,
        method: str,
        path: str,
        query: Query,
        body: Mapping[str, Any] | None,
        content_type: str,
    ) -> Response:
        if what in faults.REFUSALS:
            return self.server.refusal(int(what), path, faults.RETRY_AFTER_SECONDS)
        if what in (faults.RESET, faults.TIMEOUT, faults.BEFORE):
            await self.fail(what)
        stale = self.server.earlier(method, path, query, 1) if what == faults.STALE else None
        if method == "GET":
            answer = await self._read(path, query) if stale is None else stale
        else:
            with self.writing():
                answer = await self.way.request(method, path, query, body, content_type)
            answer = stale or answer
        if what == faults.TORN:
            return Response(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        if what in (faults.LOST, faults.LATE, faults.AFTER):
            await self.fail(what)
        return answer

    def _refused(self, call: Call) -> str | None:
        until = self.conditions.unlisted.get(plural_in(call.path), 0.0)
        return "503" if call.method == "LIST" and now() < until else None

    async def _read(self, path: str, query: Query) -> Response:
        past = self.conditions.past
        if past is not None and now() < past.until and "/leases" not in path:
            return self.server.as_of(path, query, past.version)
        return await self.way.request("GET", path, query, None, "application/json")

    async def fail(self, what: str) -> None:
        """Nothing comes back: the connection breaks, or is silent, or nobody is there to be told."""
        if what in faults.CRASHES:
            self.severed = True
            self.kill()
        if what in (faults.RESET, faults.LOST, faults.TORN, faults.STALE):
            raise ConnectionResetError("the connection broke")
        await asyncio.sleep(FOREVER)

    async def _travel(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if now() < self.conditions.silent_until:
            await asyncio.sleep(self.conditions.silent_until - now())

    async def _told(self, path: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        withheld: dict[str, bytes] = {}
        until = 0.0
        async for chunk in self._with_gaps(path, chunks):
            for text in chunk.splitlines(keepends=True):
                bookmark = text.startswith(_BOOKMARK)
                if withheld and (bookmark or now() >= until):
                    for told in withheld.values():
                        yield told
                    withheld.clear()
                what = None if bookmark else self._note(text)
                if self.conditions.changes_lost and text.startswith(_MODIFIED):
                    what = faults.DROP
                if what == faults.COALESCE:
                    until = now() + COALESCE_SECONDS
                if what == faults.COALESCE or withheld:
                    withheld[orjson.loads(text)["object"]["metadata"]["name"]] = text
                elif what != faults.DROP:
                    yield text

    async def _with_gaps(self, path: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        plural, met = plural_in(path), self.conditions
        async for chunk in self._late(chunks, met.delays.get(plural, 0.0)):
            await self._travel(latency.NEWS)
            if met.past is not None and now() < met.past.until:
                await self._travel(met.past.until - now())
            match met.gaps.pop(plural, None):
                case Gap.EXPIRED:
                    await self._travel(EXPIRED_SECONDS)
                    self.server.store.compact()
                    raise ConnectionResetError("the connection broke")
                case Gap.ERROR:
                    status = orjson.loads(self.server.refusal(500, path).body)
                    yield json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
                    return
                case Gap.SILENT:
                    await self._travel(FOREVER)
                case Gap.TORN:
                    yield chunk[: len(chunk) // 2]
                    raise ConnectionResetError("the connection broke")
                case Gap.LARGE:
                    yield chunk.rstrip(b"\n") + b" " * LARGE_BYTES + b"\n"
                case _:
                    yield chunk

    async def _late(self, chunks: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
        """Each piece so many seconds after it came."""
        if not seconds:
            async for chunk in chunks:
                yield chunk
            return
        arrived: asyncio.Queue[tuple[float, bytes | BaseException]] = asyncio.Queue()
        arriving = asyncio.create_task(_arrive(chunks, arrived))
        try:
            while True:
                at, came = await arrived.get()
                if isinstance(came, StopAsyncIteration):
                    return
                if isinstance(came, BaseException):
                    raise came
                await self._travel(at + seconds - now())
                yield came
        finally:
            arriving.cancel()

    def _note(self, text: bytes) -> str | None:
        number, what = self.script.next(Channel.LINE)
        self.journal.lines.append(Line(number, now(), text))
        if what == faults.PAST:
            self.conditions.past = Past(self.script.origin, now() + PAST_SECONDS)
            self.server.store.interrupt(ConnectionResetError("the connection broke"))
        return what


async def _arrive(
    chunks: AsyncIterator[bytes], arrived: asyncio.Queue[tuple[float, bytes | BaseException]]
) -> None:
    end: BaseException = StopAsyncIteration()
    try:
        async for chunk in chunks:
            arrived.put_nowait((now(), chunk))
    except ConnectionError as lost:
        end = lost
    arrived.put_nowait((now(), end))


def _noticed(flight: asyncio.Task[Response]) -> None:
    """How it ended is nobody's concern where its sender has given up."""
    if not flight.cancelled():
        flight.exception()


@lru_cache(1)
def _date(second: int) -> str:
    return format_datetime(EPOCH + timedelta(seconds=second), usegmt=True)


def _is_list(path: str) -> bool:
    parts = path.split("/")
    start = parts.index("namespaces") + 2 if "namespaces" in parts else (3 if parts[1] == "api" else 4)
    return len(parts) <= start + 1


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
