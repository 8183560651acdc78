"""Servers of this process that pods reach: it runs in the cluster's network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from e2e.cluster.namespaces import NODE_ADDRESS


@asynccontextmanager
async def reachable(application: web.Application) -> AsyncIterator[str]:
    """Serves while the block runs, at the node's own address on the pods' bridge. Yields the URL."""
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, NODE_ADDRESS, 0).start()
        yield f"http://{NODE_ADDRESS}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
