"""The time by which the API server dates its answers, and a transport that listens for it.

What a decision waits for is mostly dated by the cluster: since when a pod is ready, when a ReplicaSet was
made. By a clock that is wrong, or jumps, waits would end early and deadlines pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from sluicegate.kube.transport import Query, Response, Stream, Transport

TOLERANCE = timedelta(seconds=5)
"""An answer is dated to the second before it, and is some time on its way."""


class ServerClock:
    """The machine's clock, `wall`, as long as it agrees with the API server's, and else that one."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        # What the API server's clock said at least when the event loop's stood at zero.
        self._origin: datetime | None = None
        self._date = ""

    def now(self) -> datetime:
        wall = self._wall()
        if self._origin is None:
            return wall
        server = self._origin + _elapsed()
        return wall if abs(wall - server) < TOLERANCE else server

    def heard(self, date: str) -> None:
        """Take the `Date` of an answer that has just come. One that is no date says nothing.

        Nor does that of the answer before: a second is told best by its first.
        """
        if date == self._date:
            return
        self._date = date
        try:
            origin = parsedate_to_datetime(date).astimezone(UTC) - _elapsed()
        except ValueError:
            return
        stepped_back = self._origin is not None and origin < self._origin - TOLERANCE
        self._origin = origin if self._origin is None or stepped_back else max(origin, self._origin)


class DatedTransport:
    """A way to the API server whose answers tell a clock the time."""

    def __init__(self, way: Transport, clock: ServerClock) -> None:
        self._way = way
        self._clock = clock

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        answer = await self._way.request(method, path, query, body, content_type)
        if date := answer.headers.get("Date"):
            self._clock.heard(date)
        return answer

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._way.stream(path, query)

    async def close(self) -> None:
        await self._way.close()


def _elapsed() -> timedelta:
    return timedelta(seconds=asyncio.get_running_loop().time())
