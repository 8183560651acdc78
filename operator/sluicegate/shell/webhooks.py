"""How webhooks are asked. Their addresses are the users', so nothing that they do may harm the operator."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from sluicegate.core.plan import Consult

ROLLOUT_HEADER = "x-sluicegate-rollout"
LONGEST_TEXT = 1024
"""Bytes of an answer that are read."""


class NoReply(Exception):  # noqa: N818
    """Why there is no reply, in words that stay the same when it happens again."""


@dataclass(frozen=True)
class Said:
    """An HTTP status, and of a refusal (4xx) the beginning of its text."""

    status: int
    text: str = ""


class Webhooks(Protocol):
    async def consult(self, consult: Consult) -> Said:
        """May take its time, and raises NoReply."""
        ...


class LinkLocalError(OSError):
    """A name that stands for an address at which nodes and clouds tell secrets to whatever runs on them."""


class HttpWebhooks:
    """The real way. Made inside a running loop, and closed by whoever made it."""

    def __init__(self) -> None:
        # Names are looked up anew each time, and what they stand for is judged when it is connected to.
        connector = aiohttp.TCPConnector(
            limit=0, force_close=True, use_dns_cache=False, socket_factory=_socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A short answer may unpack to a long one.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def consult(self, consult: Consult) -> Said:
        headers = {ROLLOUT_HEADER: consult.question["rollout"]}
        try:
            async with self._session.post(
                consult.url, json=dict(consult.question), headers=headers, allow_redirects=False
            ) as response:
                refuses = 400 <= response.status < 500
                return Said(response.status, await _beginning(response.content) if refuses else "")
        except (aiohttp.ClientError, ValueError) as failure:
            raise NoReply(_words(failure)) from failure

    async def aclose(self) -> None:
        await self._session.close()


async def _beginning(content: aiohttp.StreamReader) -> str:
    read = bytearray()
    while len(read) < LONGEST_TEXT and (some := await content.read(LONGEST_TEXT - len(read))):
        read += some
    return read.decode(errors="replace")


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Of an entry of getaddrinfo."""
    family, kind, protocol, _, (host, *_) = address
    if _is_link_local(host):
        raise LinkLocalError(f"{host} is a link-local address")
    return socket.socket(family, kind, protocol)


def _is_link_local(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_link_local


def _words(failure: aiohttp.ClientError | ValueError) -> str:
    match failure:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case ValueError():
            return "the address cannot be read"
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known"
        case aiohttp.ClientConnectorError():
            link_local = isinstance(failure.os_error, LinkLocalError)
            return "a link-local address is not asked" if link_local else "the connection could not be made"
    return "the connection broke"
