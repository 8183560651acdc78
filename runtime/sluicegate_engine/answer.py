"""An answer on its way out: stamped with the model version, and judged.

vLLM ends an aborted request with HTTP 200 and finish_reason "abort", and an engine that dies in a stream with
HTTP 200 and an error event. The first is turned into an error here, and both count as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from enum import StrEnum

from sluicegate_engine.asgi import Headers, Message, Send

Part = Callable[[bytes], None]

_ABORTED = re.compile(rb'"finish_reason": ?"abort"')
_ERROR_EVENT = re.compile(rb'(?:^|\n)data: (\{"error":[^\n]*)')
_ABORT_WORD = b'"abort"'
_ERROR_WORD = b'{"error":'
"""What is in every match of the two. To look for a word takes a fraction of the time."""


class Outcome(StrEnum):
    """How a request ended."""

    SERVED = "served"
    CLIENT_ERROR = "client_error"
    ERROR = "error"
    DISCONNECTED = "disconnected"
    REJECTED = "rejected"


def error_body(status: int, kind: str, message: str) -> bytes:
    """An error in OpenAI's JSON shape."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return json.dumps({"error": error}).encode()


def error_event(part: bytes) -> bytes:
    """The error in a part of a stream, as JSON; empty where there is none."""
    found = _ERROR_EVENT.search(part) if _ERROR_WORD in part else None
    return found[1] if found else b""


class Answer:
    """Stands in front of an ASGI `send`; `stamp` is added to the headers of whatever is answered.

    The start of a JSON answer is held until its body is there, so that an aborted one can still become an
    error. `watch` is shown each part of the application's body that is not empty.
    """

    def __init__(self, send: Send, stamp: Headers, watch: Part | None = None) -> None:
        self._send = send
        self._stamp = stamp
        self._watch = watch
        self._held: Message | None = None
        self.streams = False
        self._failed = False
        self.status = 0
        self.complete = False

    @property
    def started(self) -> bool:
        """True once the client may have seen a status, which then cannot be taken back."""
        return self.status != 0 and self._held is None

    def send(self, message: Message) -> Awaitable[None]:
        """The ASGI `send` for the application."""
        if message["type"] == "http.response.start":
            return self._start(message)
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            if body and self._watch is not None and not self.complete:
                self._watch(body)
            return self._send(message) if self._flows_on(message, body) else self._pass_body(message, body)
        return self._send(message)

    async def fail(self, status: int, kind: str, message: str, headers: Headers | None = None) -> None:
        """Answer with an error in place of what the application would have said."""
        self._held = None
        self.status = status
        body = error_body(status, kind, message)
        length = str(len(body)).encode()
        own = [(b"content-type", b"application/json"), (b"content-length", length), *(headers or [])]
        await self._send({"type": "http.response.start", "status": status, "headers": own + self._stamp})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.complete = True

    def outcome(self, client_gone: bool) -> Outcome:
        """Judge the answer after its last byte."""
        if not self.complete:
            return Outcome.DISCONNECTED if client_gone else Outcome.ERROR
        if self._failed or self.status >= 500:
            return Outcome.ERROR
        return Outcome.CLIENT_ERROR if self.status >= 400 else Outcome.SERVED

    async def _start(self, message: Message) -> None:
        names = {name for name, _ in self._stamp}
        headers = [(k, v) for k, v in message.get("headers", ()) if k.lower() not in names]
        kind = next((v for k, v in headers if k.lower() == b"content-type"), b"")
        self.status = message["status"]
        self.streams = kind.startswith(b"text/event-stream")
        stamped = {**message, "headers": headers + self._stamp}
        if self.status == 200 and kind.startswith(b"application/json"):
            self._held = stamped
        else:
            await self._send(stamped)

    def _flows_on(self, message: Message, body: bytes) -> bool:
        """Whether this is a part from the middle of a stream, and nothing but that.

        There is one for each token: it is sent on as it is, without a coroutine of its own.
        """
        usual = self.streams and not self.complete and message.get("more_body", False)
        return usual and _ABORT_WORD not in body and _ERROR_WORD not in body

    async def _pass_body(self, message: Message, body: bytes) -> None:
        if self.complete:
            return None
        aborted = _ABORTED.search(body) is not None
        if self._held is not None:
            if aborted:
                self._failed = True
                return await self.fail(503, "Aborted", "the request was aborted before its answer was whole")
            held, self._held = self._held, None
            await self._send(held)
        if self.streams and aborted:
            event = error_body(503, "Aborted", "the request was aborted before its answer was whole")
            message = {**message, "body": b"data: " + event + b"\n\n"}
        self._failed = self._failed or aborted or (self.streams and error_event(body) != b"")
        await self._send(message)
        self.complete = not message.get("more_body", False)
        return None
