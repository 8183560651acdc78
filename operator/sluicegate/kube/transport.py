"""How a request reaches an API server: the protocol that the client stands on, and its HTTP form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

Query = Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """A whole answer. Header names are read in any case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """An answer that goes on: its chunks end where they end, lines may span them."""

    status: int
    chunks: AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """Carries requests. Raises OSError (TimeoutError is one) where no whole answer came."""

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response: ...

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        """Open a GET whose answer is read bit by bit; leaving the context ends it."""
        ...

    async def close(self) -> None: ...


Renew = Callable[[Configuration], Awaitable[None]]


class HttpTransport:
    """The real one: TLS and credentials are those of a `kubernetes.aio` configuration.

    `renew` brings fresh credentials into the configuration after a 401 (a rotated token, an exec plugin).
    The number of connections is bounded by who sends the requests.
    """

    _NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)

    def __init__(self, configuration: Configuration, renew: Renew | None = None) -> None:
        configuration.connection_pool_maxsize = 0
        self._configuration = configuration
        self._renew = renew
        self._rest = RESTClientObject(configuration)

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        try:
            async with await self._send(method, path, query, body, content_type) as answer:
                return Response(answer.status, await answer.read(), answer.headers)
        except aiohttp.ClientError as lost:
            raise _reset(lost) from lost

    @asynccontextmanager
    async def stream(self, path: str, query: Query) -> AsyncIterator[Stream]:
        try:
            answer = await self._send("GET", path, query, None, "application/json")
        except aiohttp.ClientError as lost:
            raise _reset(lost) from lost
        try:
            yield Stream(answer.status, _chunks(answer), answer.headers)
        finally:
            # An unfinished stream cannot go back to the pool.
            answer.close()

    async def close(self) -> None:
        await self._rest.close()

    async def _send(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> aiohttp.ClientResponse:
        answer = await self._send_once(method, path, query, body, content_type)
        if answer.status != 401 or self._renew is None:
            return answer
        answer.release()
        await self._renew(self._configuration)
        return await self._send_once(method, path, query, body, content_type)

    async def _send_once(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "sluicegate"}
        for auth in (await self._configuration.auth_settings()).values():
            if auth["value"]:
                headers[auth["key"]] = auth["value"]
        url = self._configuration.host.rstrip("/") + path + ("?" + urlencode(query) if query else "")
        answer = await self._rest.request(method, url, headers, body, _request_timeout=self._NO_TIMEOUT)
        response: aiohttp.ClientResponse = answer.response
        return response


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except aiohttp.ClientError as lost:
        raise _reset(lost) from lost


def _reset(lost: aiohttp.ClientError) -> ConnectionError:
    return ConnectionError(f"{type(lost).__name__}: {lost}")
