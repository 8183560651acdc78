"""Follows one LLMDeployment for as long as somebody listens, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from sluicegate.cli.cluster import Cluster
from sluicegate.cli.view import Object
from sluicegate.kube.errors import ApiError, ConfigurationError, Gone, Throttled, Unavailable
from sluicegate.kube.resources import LLM_DEPLOYMENT

ROUND_SECONDS = 10.0
"""After as long it is read anew: a watch that a proxy holds back costs this time and not the whole wait."""
PAUSE_SECONDS = 1.0
REFUSALS = 30
"""So many in a row are believed: an API server that starts refuses what it will allow in a moment."""

Say = Callable[[str], None]

_PASSING = (Unavailable, Throttled, Gone)


async def follow(cluster: Cluster, name: str, say: Say) -> AsyncGenerator[Object | None, None]:
    """The LLMDeployment as it is now, at each change and each round; None where it is gone.

    `say` is told when the API server stops answering. Raises ApiError or ConfigurationError where it
    refuses again and again.
    """
    failures = refusals = 0
    while True:
        pause = PAUSE_SECONDS
        try:
            async with aclosing(_round(cluster, name)) as sightings:
                async for seen in sightings:
                    failures = refusals = 0
                    yield seen
        except (ApiError, ConfigurationError) as error:
            failures += 1
            refusals = 0 if isinstance(error, _PASSING) else refusals + 1
            if refusals > REFUSALS:
                raise
            # One may be a watch that broke, after which a new list tells everything.
            if failures == 2:
                say(f"it is not known how the rollout goes on: {error}; trying again")
            pause = max(pause, getattr(error, "retry_after", None) or 0.0)
        await asyncio.sleep(pause)


async def _round(cluster: Cluster, name: str) -> AsyncGenerator[Object | None, None]:
    """A list, then what a watch brings after it."""
    client, only = cluster.client, f"metadata.name={name}"
    listing = await client.list(LLM_DEPLOYMENT, cluster.namespace, field_selector=only)
    yield next(iter(listing.items), None)
    events = client.watch(
        LLM_DEPLOYMENT,
        cluster.namespace,
        resource_version=listing.resource_version,
        field_selector=only,
        seconds=ROUND_SECONDS,
        inactivity=2 * ROUND_SECONDS,
    )
    async with aclosing(events):
        async for event in events:
            if event.type != "BOOKMARK":
                yield None if event.type == "DELETED" else event.object
