"""A client of an ASGI application, in the test's own loop: it can be slow, and it can go away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sluicegate_engine.asgi import App, Message


@dataclass
class Call:
    """One request under way and what has come back so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    starts: int = 0
    inbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None
    progressed: asyncio.Event = field(default_factory=asyncio.Event)

    def disconnect(self) -> None:
        self.inbox.put_nowait({"type": "http.disconnect"})

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.starts += 1
            self.status = message["status"]
            for key, value in message["headers"]:
                name, text = key.decode().lower(), value.decode()
                self.headers[name] = f"{self.headers[name]}, {text}" if name in self.headers else text
        else:
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body", False)
        self.progressed.set()

    async def until_progress(self) -> None:
        await asyncio.wait_for(self.progressed.wait(), 2)
        self.progressed.clear()

    async def done(self) -> Call:
        assert self.task is not None
        await asyncio.wait_for(self.task, 2)
        return self


def start(
    app: App,
    path: str = "/v1/completions",
    *parts: bytes,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Call:
    """Send a request whose body comes in these parts (one empty part where none is given)."""
    call = Call()
    given = parts or (b"{}",)
    for n, part in enumerate(given, 1):
        call.inbox.put_nowait({"type": "http.request", "body": part, "more_body": n < len(given)})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
    }

    async def run() -> None:
        await app(scope, call.inbox.get, call.send)

    call.task = asyncio.create_task(run())
    return call


async def settle() -> None:
    """Let every task that can run come to rest: nothing here waits for the outside."""
    for _ in range(20):
        await asyncio.sleep(0)
