"""One line in the log of each generation request, and its spans: who asked for how much, and how it went.

Nothing that a client wrote is in either, but for the ids in its headers, where they look like ids. Of its
body there is nothing; of the answer there are the tokens that vLLM counted, why it ended, and the type of an
error.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from sluicegate_engine.answer import Outcome, error_event
from sluicegate_engine.asgi import Headers, Message, Scope, Send
from sluicegate_engine.measurement import Clock, Pace
from sluicegate_engine.priority import Priority
from sluicegate_engine.spans import Span, request_spans
from sluicegate_engine.trace_context import read_context
from sluicegate_engine.tracer import Tracer

FIELDS = {
    "event": "`request`",
    "time": "when its head was there, RFC 3339 in UTC",
    "id": "as in `X-Request-Id`, the request's and the answer's",
    "trace": "id of its trace",
    "version": "the model version at its admission; where it was not admitted, at its end",
    "route": "the path",
    "priority": "its class, `standard` where it named none; absent where it named one that there is not",
    "status": "HTTP status; absent where no answer was begun",
    "outcome": "`served`, `client_error`, `error`, `disconnected` or `rejected`, as in the metrics",
    "error": "type of the error that the client was told; absent where an answer broke off without a word",
    "finish": "why the generation ended, as vLLM says; of several sequences the last",
    "readSeconds": "from the head to the end of the request, or to the end of its reading",
    "queueSeconds": "from the end of the request to its admission, or to the end of its wait",
    "e2eSeconds": "from the end of the request to the end of the answer",
    "stream": "whether the answer came as a stream; absent where the engine gave none",
    "promptTokens": "as vLLM counted them; absent where the answer broke off",
    "cachedTokens": "those of the prefix cache, where vLLM tells them (`--enable-prompt-tokens-details`; in "
    "a stream only to a client that asked for usage)",
    "outputTokens": "as vLLM counted them; of a stream that broke off its events, each a token or more",
    "ttftSeconds": "of a stream: from the end of the request to the first token",
    "tpotSeconds": "of a stream: from one token to the next, on average",
}
"""Everything that a line may hold. What is not known or does not apply is not in it."""

START = '{"event":"request"'
"""How each line begins. The supervisor passes them on and knows them by this."""
ID_HEADER = b"x-request-id"
Write = Callable[[bytes], object]
Line = dict[str, str | int | float]

_encode = json.JSONEncoder(separators=(",", ":")).encode
_OURS = frozenset({ID_HEADER, b"traceparent", b"tracestate"})
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_CACHED = re.compile(rb'"cached_tokens": ?(\d{1,9})')
_FINISHED = re.compile(rb'"finish_reason": ?"(stop|length|abort|error|repetition|tool_calls|content_filter)"')
_ERROR_TYPE = re.compile(r"[A-Z][A-Za-z]{0,39}( [A-Z][A-Za-z]{0,19}){0,3}")
_ERROR_BYTES = 1 << 16
_ABORTED = "Aborted"


class Entry:
    """A request from its first sight to its line. `scope` and `send` are those to go on with.

    vLLM is told the same ids that the line has.
    """

    def __init__(self, scope: Scope, send: Send, tracer: Tracer, began: int) -> None:
        self.route: str = scope["path"]
        self.priority: Priority | None = None
        self.began = began
        self.wall = time.time_ns()
        self.status = 0
        self.error = b""
        self._send = send
        given: dict[bytes, list[bytes]] = {}
        others: Headers = []
        for name, value in scope["headers"]:
            if name in _OURS:
                given.setdefault(name, []).append(value)
            else:
                others.append((name, value))
        self.caller = read_context(given.get(b"traceparent", ()), given.get(b"tracestate", ()))
        self.trace = tracer.enter(self.caller)
        self.id = _request_id(given.get(ID_HEADER, ()))
        onward = tracer.onward(self.trace, self.caller)
        headers = [*others, (ID_HEADER, self.id), *onward.headers]
        self.scope = {**scope, "headers": headers, "state": scope.get("state", {})}

    def send(self, message: Message) -> Awaitable[None]:
        """The ASGI `send` for whatever the client is told."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [each for each in message.get("headers", ()) if each[0].lower() != ID_HEADER]
            message = {**message, "headers": [*headers, (ID_HEADER, self.id)]}
        elif self.status >= 400 and len(self.error) < _ERROR_BYTES:
            self.error += message.get("body", b"")
        return self._send(message)


class Journal:
    """Opens an entry of each request and closes it. A log that takes no more lines keeps nobody up.

    Without `write` there are no lines, only spans.
    """

    def __init__(self, clock: Clock, tracer: Tracer, write: Write | None) -> None:
        self._clock = clock
        self._tracer = tracer
        self._write = write

    def open(self, scope: Scope, send: Send) -> Entry:
        return Entry(scope, send, self._tracer, self._clock())

    def close(self, entry: Entry, version: str, outcome: Outcome, pace: Pace | None = None) -> None:
        """The request has ended. `pace` is given of one that was whole."""
        end = self._clock()
        line = describe(entry, version, outcome, pace, end)
        if self._write is not None:
            with suppress(OSError):
                self._write(_encode(line).encode() + b"\n")
        self._tracer.export(entry.trace, partial(_spans, entry, line, pace, end))


def to_stdout(line: bytes) -> None:
    """Past sys.stdout, which vLLM puts words in front of, and in one piece, for other processes write too."""
    os.write(1, line)


def describe(entry: Entry, version: str, outcome: Outcome, pace: Pace | None, end: int) -> Line:
    """The fields of a request's line, in their order."""
    tail = pace.tail if pace else b""
    finish = _finish(tail)
    line: dict[str, str | int | float | None] = {
        "event": "request",
        "time": _timestamp(entry.wall),
        "id": entry.id.decode(),
        "trace": entry.trace.trace_id,
        "version": version,
        "route": entry.route,
        "priority": entry.priority,
        "status": entry.status or None,
        "outcome": outcome.value,
        "error": _error(entry.error or error_event(tail)) or (_ABORTED if finish == "abort" else None),
        "finish": finish,
        "readSeconds": _seconds((pace.began if pace else end) - entry.began),
    }
    if pace:
        line["queueSeconds"] = _seconds((end if pace.admitted is None else pace.admitted) - pace.began)
        line["e2eSeconds"] = _seconds(end - pace.began)
        if pace.answered:
            line.update(_answer(pace, tail, end))
    return {name: value for name, value in line.items() if value is not None}


def _spans(entry: Entry, line: Line, pace: Pace | None, end: int) -> list[Span]:
    caller = entry.caller.span_id if entry.caller else ""
    times = (entry.wall - entry.began, entry.began, end)
    return request_spans(entry.trace, caller, line, times, pace.phases(end) if pace else [])


def _answer(pace: Pace, tail: bytes, end: int) -> dict[str, int | float | None]:
    """What is known of an answer, by its end and its times."""
    tokens = pace.tokens()
    per_token = pace.per_token(end, tokens)
    return {
        "stream": pace.streamed,
        "promptTokens": pace.usage.prompt_tokens if pace.usage else None,
        "cachedTokens": _cached(tail),
        "outputTokens": tokens,
        "ttftSeconds": _seconds(pace.first - pace.began) if pace.streamed else None,
        "tpotSeconds": _seconds(per_token) if per_token is not None else None,
    }


def _request_id(given: Sequence[bytes]) -> bytes:
    """The client's, where it is one and looks like one; else a new one."""
    return given[0] if len(given) == 1 and _ID.fullmatch(given[0]) else os.urandom(16).hex().encode()


def _finish(tail: bytes) -> str | None:
    found = _FINISHED.match(_from_last(tail, b'"finish_reason":', 64))
    return found[1].decode() if found else None


def _cached(tail: bytes) -> int | None:
    found = _CACHED.search(_from_last(tail, b'"usage":', 512))
    return int(found[1]) if found else None


def _error(body: bytes) -> str | None:
    """The type in an error of OpenAI's shape, and nothing else of it: the rest may quote the request."""
    if not body or len(body) > _ERROR_BYTES:
        return None
    try:
        told = json.loads(body)["error"]["type"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return told if isinstance(told, str) and _ERROR_TYPE.fullmatch(told) else None


def _from_last(text: bytes, mark: bytes, length: int) -> bytes:
    """From a key on. No text can look like one: in a JSON string its quotes are escaped."""
    place = text.rfind(mark)
    return text[place : place + length] if place >= 0 else b""


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 6)


def _timestamp(wall: int) -> str:
    return datetime.fromtimestamp(wall / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
