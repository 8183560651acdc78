"""Asks over a new connection every few milliseconds which version answers, and costs the engine nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from e2e.lab.traffic import VERSION_HEADER

EVERY_SECONDS = 0.02
# The gate answers for a route that does not exist, and names its version as on every answer.
_REQUEST = b"GET /who HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Probe:
    """One new connection: when it was established (monotonic seconds), and the version behind it.

    The version is "" where there was no answer.
    """

    at: float
    version: str


@asynccontextmanager
async def probing(url: str) -> AsyncIterator[list[Probe]]:
    """What new connections find while the block runs."""
    host, probes = urlsplit(url).hostname or "", list[Probe]()
    async with asyncio.TaskGroup() as group:

        async def probe() -> None:
            probes.append(await _probe(host))

        async def go_on() -> None:
            while True:
                group.create_task(probe())
                await asyncio.sleep(EVERY_SECONDS)

        going_on = group.create_task(go_on())
        try:
            yield probes
        finally:
            going_on.cancel()


async def _probe(host: str) -> Probe:
    at = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, 80)
        at = time.monotonic()
        writer.write(_REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return Probe(at, "")
    return Probe(at, version_in(head))


def version_in(head: bytes) -> str:
    """The version that the head of an answer names; empty where it names none."""
    for line in head.decode().splitlines():
        name, _, value = line.partition(": ")
        if name.lower() == VERSION_HEADER:
            return value
    return ""
