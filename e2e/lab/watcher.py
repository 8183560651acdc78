"""Writes down every status that an object shows, from a watch, with the time of its arrival."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from e2e.lab.traffic import Outcome
from sluicegate.kube.client import Client
from sluicegate.kube.errors import Unavailable
from sluicegate.kube.resources import Resource

LONGEST_LIE_SECONDS = 5.0
"""Ready outlasts a failure that clients see by at most this."""


@dataclass(frozen=True)
class Sighting:
    """One version of the object: when it was seen (monotonic seconds) and by which event."""

    at: float
    type: str
    object: dict[str, Any]

    def condition(self, kind: str) -> dict[str, Any] | None:
        conditions = (self.object.get("status") or {}).get("conditions") or ()
        return next((each for each in conditions if each["type"] == kind), None)

    @property
    def serving(self) -> str | None:
        """The version that is said to answer."""
        said = ((self.object.get("status") or {}).get("serving") or {}).get("version")
        return None if said is None else str(said)

    @property
    def ready(self) -> bool:
        found = self.condition("Ready")
        generation = self.object["metadata"].get("generation")
        return bool(found and found["status"] == "True" and found["observedGeneration"] == generation)


@dataclass
class Sightings:
    seen: list[Sighting] = field(default_factory=list)

    def ready_spans(self, end: float) -> list[tuple[float, float]]:
        """The spans of time in which the object said that it was ready."""
        spans: list[tuple[float, float]] = []
        began: float | None = None
        for sighting in self.seen:
            ready = sighting.ready and sighting.type != "DELETED"
            if ready and began is None:
                began = sighting.at
            if not ready and began is not None:
                spans.append((began, sighting.at))
                began = None
        return [*spans, (began, end)] if began is not None else spans


@asynccontextmanager
async def watching(client: Client, resource: Resource, namespace: str, name: str) -> AsyncIterator[Sightings]:
    """Sightings of one object while the block runs, or of all of the namespace where `name` is empty."""
    sightings = Sightings()
    selector = f"metadata.name={name}" if name else ""
    listing = await client.list(resource, namespace, field_selector=selector)
    sightings.seen += [Sighting(time.monotonic(), "ADDED", item) for item in listing.items]
    task = asyncio.create_task(
        _follow(client, resource, namespace, selector, listing.resource_version, sightings)
    )
    try:
        yield sightings
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(
    client: Client, resource: Resource, namespace: str, selector: str, version: str, sightings: Sightings
) -> None:
    while True:
        events = client.watch(resource, namespace, resource_version=version, field_selector=selector)
        try:
            async for event in events:
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    sightings.seen.append(Sighting(time.monotonic(), event.type, event.object))
        except Unavailable as silence:
            # Of Events there are no bookmarks: a watch of them seems to have stalled while none comes.
            if silence.reason != "WatchStalled":
                raise


def longest_lie(sightings: Sightings, outcomes: Iterable[Outcome], end: float) -> float:
    """The longest time that requests failed one after another while the status said Ready."""
    longest = 0.0
    for began, ended in sightings.ready_spans(end):
        failing_since: float | None = None
        for outcome in sorted(outcomes, key=lambda outcome: outcome.began):
            if not began <= outcome.began <= ended:
                continue
            if outcome.served:
                failing_since = None
                continue
            failing_since = outcome.began if failing_since is None else failing_since
            longest = max(longest, min(outcome.ended, ended) - failing_since)
    return longest
