"""Forwards connections of an inherited listening socket to a local port: `forwarder LISTENER PORT`.

A socket stays in the network it was made in, so this is the way from the machine's loopback device into
the cluster's network, and it ends with the cluster.
"""

from __future__ import annotations

import asyncio
import socket
import sys

_CHUNK = 64 * 1024


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()


async def _forward(port: int, outer: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
    try:
        inner, request = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        answer.close()
        return
    await asyncio.gather(_pump(outer, request), _pump(inner, answer))
    for writer in (request, answer):
        writer.close()


async def _serve(listener: int, port: int) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _forward(port, reader, writer), sock=socket.socket(fileno=listener)
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
