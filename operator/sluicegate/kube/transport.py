"""How a request reaches an API server: the protocol that the client stands on, and its HTTP form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

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

    def __init__(self, configuration: Configuration, renew: Renew | None = None) -> None:
        self._configuration = configuration
        self._renew = renew
        self._tls = RESTClientObject(configuration)
        # aiohttp, left to trust the environment, would read it anew for each request, in a thread.
        self._proxy = self._tls.proxy or _proxy_to(configuration.host)
        self._session: aiohttp.ClientSession | None = None

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._configuration.host)

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
        if self._session is not None:
            await self._session.close()

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
        return await self._open_session().request(
            method,
            url,
            headers=headers,
            data=None if body is None else encoded(body),
            proxy=self._proxy,
            proxy_headers=self._tls.proxy_headers,
            server_hostname=self._configuration.tls_server_name,
        )

    def _open_session(self) -> aiohttp.ClientSession:
        # Not before the first request: a session belongs to the loop that runs.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls.ssl_context),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                **(self._configuration.client_session_kwargs or {}),
            )
        return self._session


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body in the very bytes that the server itself would write.

    It keeps a ControllerRevision's immutable `data` as the bytes it was sent and compares them with its own
    encoding at the next patch: one space more, and its labels can never be changed again.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPED).encode()


_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def _proxy_to(url: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this server, if any."""
    server = urlsplit(url)
    return None if proxy_bypass(server.hostname or "") else getproxies().get(server.scheme)


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except aiohttp.ClientError as lost:
        raise _reset(lost) from lost


def _reset(lost: aiohttp.ClientError) -> ConnectionError:
    return ConnectionError(f"{type(lost).__name__}: {lost}")
