"""A request on its way in: read whole before it queues, watched for its client's going while it waits.

What clients may make us hold is bounded: in bytes a request, in bytes of all requests together, and in time.
"""

from __future__ import annotations

import asyncio

from sluicegate_engine.asgi import Message, Receive


class BodyError(Exception):
    """The request's body is not taken: HTTP status, type of the error, and what is wrong."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Limits:
    """What bodies may take: bytes and seconds each, and bytes of all that are held at a time."""

    def __init__(self, body_bytes: int, held_bytes: int, seconds: float) -> None:
        self.body_bytes = body_bytes
        self.seconds = seconds
        self._free_bytes = held_bytes

    def check_length(self, length: int) -> None:
        """Raises BodyError 413 for a body of more bytes than one may have."""
        if length > self.body_bytes:
            raise BodyError(413, "BodyTooLarge", f"a request may have {self.body_bytes} bytes")

    def hold(self, count: int) -> None:
        """Raises BodyError 429 where there is no room for so many bytes more."""
        if count > self._free_bytes:
            raise BodyError(429, "BodiesFull", "this replica holds too many bytes of requests; try again")
        self._free_bytes -= count

    def give_back(self, count: int) -> None:
        self._free_bytes += count


class Inbox:
    """Stands in front of an ASGI `receive`. `gone` turns true when the client disconnects.

    `close` must follow whatever happens.
    """

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._held_bytes = 0
        self._body: bytes | None = None
        self._next: asyncio.Future[Message] | None = None
        self.gone = False

    async def read_body(self) -> None:
        """Read the body to its end, or until the client is gone. Raises BodyError."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._read_parts()
        except TimeoutError:
            said = f"the request was not whole after {self._limits.seconds:g} seconds"
            raise BodyError(408, "RequestTimeout", said) from None

    async def _read_parts(self) -> None:
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return
            part = message.get("body", b"")
            self._limits.check_length(self._held_bytes + len(part))
            self._limits.hold(len(part))
            self._held_bytes += len(part)
            parts.append(part)
            more = message.get("more_body", False)
        self._body = b"".join(parts)

    @property
    def body(self) -> bytes:
        """The body that was read, until the application takes it."""
        return self._body or b""

    async def wait(self, turn: asyncio.Event) -> None:
        """Wait for the turn, or until the client is gone, which sets it too.

        Without a task of its own: each turn of the event loop has a token of every stream in it.
        """
        self._next = asyncio.ensure_future(self._receive())
        self._next.add_done_callback(lambda _: turn.set())
        await turn.wait()
        self.gone = self._next.done()

    async def receive(self) -> Message:
        """The ASGI `receive` for the application: the body in one message, then what follows it."""
        if self._body is not None:
            body, self._body = self._body, None
            self._let_go()
            return {"type": "http.request", "body": body, "more_body": False}
        # vLLM cancels its listener for the client's going when its handler returns, and a stream then listens
        # anew: the receive that is under way must outlive the first listener.
        message = await (self._receive() if self._next is None else asyncio.shield(self._next))
        self.gone = message["type"] == "http.disconnect"
        return message

    def close(self) -> None:
        self._let_go()
        if self._next is not None:
            self._next.cancel()

    def _let_go(self) -> None:
        self._limits.give_back(self._held_bytes)
        self._held_bytes = 0
