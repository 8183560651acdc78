"""A request on its way in: read whole before it queues, watched for its client's going while it waits."""

from __future__ import annotations

import asyncio

from sluicegate_engine.asgi import Message, Receive


class BodyTooLargeError(Exception):
    """The request's body is over the bound."""


class Inbox:
    """Stands in front of an ASGI `receive`. `gone` turns true when the client disconnects."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body: bytes | None = None
        self._next: asyncio.Future[Message] | None = None
        self.gone = False

    async def read_body(self, limit_bytes: int) -> None:
        """Read the body to its end, or until the client is gone. Raises BodyTooLargeError."""
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit_bytes:
                raise BodyTooLargeError
            more = message.get("more_body", False)
        self._body = b"".join(parts)

    async def wait(self, turn: asyncio.Event) -> None:
        """Wait for the turn, or until the client is gone."""
        self._next = asyncio.ensure_future(self._receive())
        waiter = asyncio.ensure_future(turn.wait())
        try:
            await asyncio.wait((self._next, waiter), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        self.gone = self._next.done()

    async def receive(self) -> Message:
        """The ASGI `receive` for the application: the body in one message, then what follows it."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # vLLM cancels its listener for the client's going when its handler returns, and a stream then listens
        # anew: the receive that is under way must outlive the first listener.
        message = await (self._receive() if self._next is None else asyncio.shield(self._next))
        self.gone = message["type"] == "http.disconnect"
        return message

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
