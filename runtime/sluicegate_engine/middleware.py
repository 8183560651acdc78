"""The gate: an ASGI middleware that vLLM loads around its whole application (--middleware).

It decides which routes exist, when a generation may start, and what every answer says about the model that
gave it. It is the innermost place that still sees each request, so what it counts is what is in flight.
"""

from __future__ import annotations

import asyncio
import hmac
import mmap
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sluicegate_engine.admission import Admission, Queue
from sluicegate_engine.answer import Answer, Outcome
from sluicegate_engine.asgi import App, Headers, Receive, Scope, Send, header
from sluicegate_engine.demand import Demand, demand
from sluicegate_engine.fingerprint import Fingerprint, fingerprint
from sluicegate_engine.gate_settings import KEY_HEADER, PRIORITY_HEADER, VERSION_HEADER, GateSettings
from sluicegate_engine.inbox import BodyError, Inbox, Limits
from sluicegate_engine.journal import Entry, Journal, Write, to_stdout
from sluicegate_engine.link import Command, GateLink, Report
from sluicegate_engine.measurement import Clock, Measurements, Pace
from sluicegate_engine.payload import parse
from sluicegate_engine.priority import Priority, named_priority
from sluicegate_engine.quarantine import DEATHS, Quarantine, Suspect
from sluicegate_engine.reload.engine_orders import QUIET, EngineOrders
from sluicegate_engine.roster import Roster, size_of
from sluicegate_engine.routes import Route, classify
from sluicegate_engine.ticket import Verdict
from sluicegate_engine.tracer import tracer_from
from sluicegate_engine.usage import told_usage
from sluicegate_engine.waiting import Bounds
from sluicegate_engine.work import WORK, engine_work

_CLOSE: Headers = [(b"connection", b"close")]
_STAYING = (Admission.OPEN, Admission.HOLDING)
_REFUSALS = {
    Verdict.FULL: (429, "QueueFull", "the queue of this replica is full; try again"),
    Verdict.UNAVAILABLE: (503, "Unavailable", "this replica takes no requests now; try again"),
}
_UNAVAILABLE_SECONDS = 2
_ANSWERED = (Outcome.SERVED, Outcome.CLIENT_ERROR)
_CHEAP_AT_A_TIME = 4
"""Requests past the queue whose bodies vLLM has: it would take in, and tokenize, as many as are sent. What
waits is held, within the bounds of what may be."""


class Gate:
    """The middleware class. vLLM builds it with the application alone; settings come by environment."""

    def __init__(
        self,
        app: App,
        settings: GateSettings | None = None,
        clock: Clock = time.monotonic_ns,
        write: Write = to_stdout,
    ) -> None:
        self._app = app
        self._clock = clock
        self._settings = settings or GateSettings.from_environment(os.environ)
        self._key = self._settings.key.encode()
        self._version = self._settings.version
        bounds = Bounds(self._settings.max_queued, self._settings.max_queued_prompt_tokens)
        self._queue = Queue(self._settings.max_concurrent, bounds, clock)
        self._limits = Limits(
            self._settings.max_body_bytes, self._settings.max_held_bytes, self._settings.max_read_seconds
        )
        self._cheap = asyncio.Semaphore(_CHEAP_AT_A_TIME)
        self._outcomes: Counter[str] = Counter()
        self._rejections: Counter[str] = Counter()
        self._quarantine, self._roster = _custody(self._settings, clock)
        self._measurements = Measurements()
        self._tracer = tracer_from(os.environ)
        self._journal = Journal(clock, self._tracer, write if self._settings.request_log else None)
        self._orders = EngineOrders()
        self._left = asyncio.Event()
        self._link = GateLink(
            Path(self._settings.link),
            self._obey,
            self._report,
            self._measurements.encode,
            self._carry_out,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the supervisor's line for as long as the application lives."""
        self._orders.attach(scope.get("app"))
        link = asyncio.create_task(self._link.run())
        try:
            await self._app(scope, receive, send)
        finally:
            link.cancel()
            with suppress(asyncio.CancelledError):
                await link
            await asyncio.to_thread(self._tracer.close)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if hmac.compare_digest(header(scope, KEY_HEADER.encode()), self._key):
            return await self._run(scope, receive, Answer(send, self._stamp()))
        route = classify(scope["method"], scope["path"])
        if route is Route.UNKNOWN:
            return await Answer(send, self._stamp()).fail(404, "NotFound", "no such route")
        if route is Route.WRONG_METHOD:
            said = "this route takes another method"
            return await Answer(send, self._stamp()).fail(405, "MethodNotAllowed", said)
        inbox = Inbox(receive, self._limits)
        try:
            if route is Route.GENERATION:
                await self._generate(scope, inbox, send)
            elif await self._read(scope, inbox, send) is None:
                async with self._cheap if inbox.body else nullcontext():
                    await self._run(scope, inbox.receive, Answer(send, self._stamp()))
        finally:
            inbox.close()

    async def _generate(self, scope: Scope, inbox: Inbox, send: Send) -> None:
        """Who would be turned away is so before the body is read."""
        entry = self._journal.open(scope, send)
        try:
            entry.priority = priority = named_priority(header(scope, PRIORITY_HEADER.encode()))
        except ValueError as error:
            said = f"{PRIORITY_HEADER}: {error}"
            await Answer(entry.send, self._stamp()).fail(400, "UnknownPriority", said)
            return self._count(entry, self._version, Outcome.CLIENT_ERROR)
        verdict = self._queue.judge(priority)
        if verdict in _REFUSALS:
            await self._reject(verdict, Answer(entry.send, self._stamp()))
            self._count(entry, self._version, Outcome.REJECTED)
        elif (outcome := await self._read(scope, inbox, entry.send)) is not None:
            self._count(entry, self._version, outcome)
        else:
            await self._take_turn(entry, inbox, priority)

    async def _read(self, scope: Scope, inbox: Inbox, send: Send) -> Outcome | None:
        """Read the request whole. Returns how it has ended, or None where it goes on."""
        try:
            self._limits.check_length(_announced_bytes(scope))
            await inbox.read_body()
        except BodyError as error:
            full = error.status == 429
            headers = _retry_after(self._queue.retry_after) if full else _CLOSE
            await Answer(send, self._stamp()).fail(error.status, error.kind, str(error), headers)
            if full:
                self._rejections[error.kind] += 1
            return Outcome.REJECTED if full else Outcome.CLIENT_ERROR
        return Outcome.DISCONNECTED if inbox.gone else None

    async def _take_turn(self, entry: Entry, inbox: Inbox, priority: Priority) -> None:
        wanted, known_by = self._understand(entry.route, inbox.body)
        most = self._settings.max_concurrent
        if wanted.sequences > most:
            said = f"prompts times n are more than the {most} sequences that are computed at a time"
            await Answer(entry.send, self._stamp()).fail(400, "TooManySequences", said)
            return self._count(entry, self._version, Outcome.CLIENT_ERROR)
        if not self._quarantine.takes(known_by):
            return await self._refuse(entry)
        turn = asyncio.Event()
        ticket = self._queue.offer(turn.set, wanted, priority)
        outcome, version, pace = Outcome.DISCONNECTED, self._version, Pace(self._clock)
        self._link.changed()
        try:
            if ticket.verdict is Verdict.QUEUED:
                await inbox.wait(turn)
            if inbox.gone:
                return
            version = self._version
            answer = Answer(entry.send, self._stamp(), pace.part)
            # Who waited for an engine that is dead by now can still be served elsewhere.
            verdict = Verdict.UNAVAILABLE if self._orders.engine_is_dead else ticket.verdict
            if verdict is not Verdict.ADMITTED:
                outcome = Outcome.REJECTED
                return await self._reject(verdict, answer)
            pace.admit()
            try:
                with self._listed(known_by, answer, inbox):
                    await self._run(entry.scope, inbox.receive, answer)
            finally:
                outcome = answer.outcome(inbox.gone)
                pace.streamed, pace.usage = answer.streams, told_usage(entry.scope)
        finally:
            self._queue.leave(ticket)
            self._quarantine.leave(known_by)
            self._left.set()
            self._count(entry, version, outcome, pace)

    def _understand(self, route: str, body: bytes) -> tuple[Demand, Fingerprint]:
        """All that is to be known of a request while it waits: what it is parsed to is larger than itself."""
        request = parse(body)
        return demand(request), fingerprint(self._settings.fingerprint_key, route, body, request)

    @contextmanager
    def _listed(self, request: Fingerprint, answer: Answer, inbox: Inbox) -> Iterator[None]:
        """List it as with the engine."""
        stay = self._roster.enter(request)
        try:
            yield
        finally:
            answered = answer.outcome(inbox.gone) in _ANSWERED
            self._roster.leave(stay, answered=answered)
            if answered and self._quarantine.clear(request):
                self._roster.clear(request)

    async def _refuse(self, entry: Entry) -> None:
        """No Retry-After, and a status on which nobody tries again: a try elsewhere ends another engine."""
        self._rejections["Quarantined"] += 1
        said = (
            f"the engine of this replica died {DEATHS} times or more with this very request in it and never "
            f"answered it; it is refused for {self._settings.quarantine_seconds:g} seconds: send another one"
        )
        await Answer(entry.send, self._stamp()).fail(422, "Quarantined", said)
        self._count(entry, self._version, Outcome.REJECTED)

    async def _reject(self, verdict: Verdict, answer: Answer) -> None:
        status, kind, message = _REFUSALS[verdict]
        self._rejections[kind] += 1
        seconds = self._queue.retry_after if verdict is Verdict.FULL else _UNAVAILABLE_SECONDS
        await answer.fail(status, kind, message, _retry_after(seconds))

    async def _run(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        """Let vLLM answer. What it fails to handle is answered here: outside, no version would be on it."""
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if not answer.started:
                await answer.fail(500, "InternalError", "the engine's server failed", _CLOSE)
            raise

    def _stamp(self) -> Headers:
        stamp = [(VERSION_HEADER.encode(), self._version.encode())]
        return stamp if self._queue.admission in _STAYING else stamp + _CLOSE

    def _count(self, entry: Entry, version: str, outcome: Outcome, pace: Pace | None = None) -> None:
        self._journal.close(entry, version, outcome, pace)
        self._outcomes[outcome.value] += 1
        self._measurements.count(version, outcome, pace)
        self._link.changed()

    def _obey(self, command: Command | None) -> None:
        if command is None:
            self._queue.switch(Admission.CLOSED)
        else:
            self._version = command.version
            self._queue.switch(command.admission)

    async def _carry_out(self, name: str, arguments: Mapping[str, Any]) -> Any:
        if name == WORK:
            return engine_work()
        if name != QUIET:
            return await self._orders.carry_out(name, arguments)
        while self._queue.in_flight:
            self._left.clear()
            await self._left.wait()
        return None

    def _report(self) -> Report:
        return Report(
            self._queue.admission,
            self._version,
            self._queue.in_flight,
            self._queue.queued,
            dict(self._outcomes),
            dict(self._rejections),
            self._queue.queued_prompt_tokens,
            self._tracer.lost,
        )


def _custody(settings: GateSettings, clock: Clock) -> tuple[Quarantine, Roster]:
    """Who is kept from the engine, and where it is noted who is with it."""
    suspects = {each: Suspect(*known) for each, known in settings.suspects.items()}
    size = size_of(settings.max_concurrent, len(suspects))
    quarantine = Quarantine(suspects, settings.quarantine_seconds, clock)
    return quarantine, Roster(mmap.mmap(settings.roster, size))


def _announced_bytes(scope: Scope) -> int:
    """What the request says of its body's length; 0 where it says nothing."""
    length = header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _retry_after(seconds: int) -> Headers:
    return [(b"retry-after", str(seconds).encode())]
