"""When things happened between an apply and the first token, seen by watches and by a client that asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, condition
from e2e.lab.traffic import ask

from sluicegate.kube import resources
from sluicegate.kube.resources import Resource

ASK_AGAIN_SECONDS = 0.02
# The kernel refuses few connections a second; a forgotten one would be tried again only after 1 s and 3 s.
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=0.1)

Object = dict[str, Any]


@dataclass(frozen=True)
class Timeline:
    """Moments in monotonic seconds. `said` is when an LLMDeployment was Ready=True; 0 where there is none."""

    applied: float
    replica_set: float
    pods_ready: float
    answered: float
    said: float

    @property
    def reaction(self) -> float:
        return self.replica_set - self.applied

    @property
    def opening(self) -> float:
        """From ready pods to an answer through the Service."""
        return max(0.0, self.answered - self.pods_ready)

    @property
    def total(self) -> float:
        return self.answered - self.applied


async def timeline(lab: Lab, name: str, apply: Callable[[], Awaitable[None]], *, says: bool) -> Timeline:
    """Apply, and follow what comes of it in a namespace without pods. `says`: an LLMDeployment is in it."""
    async with asyncio.timeout(ENGINE_START_SECONDS), asyncio.TaskGroup() as group:

        async def follow(kind: Resource, holds: Callable[[Object], bool]) -> asyncio.Task[float]:
            version = (await lab.client.list(kind, lab.namespace)).resource_version
            return group.create_task(_first(lab, kind, version, holds))

        replica_set = await follow(resources.REPLICA_SET, lambda obj: True)
        pods = await follow(resources.POD, _is_ready)
        said = await follow(resources.LLM_DEPLOYMENT, _is_ready) if says else None
        applied = time.monotonic()
        await apply()
        answered = group.create_task(_first_token(lab, name))
    return Timeline(
        applied, replica_set.result(), pods.result(), answered.result(), said.result() if said else 0.0
    )


async def _first(lab: Lab, kind: Resource, version: str, holds: Callable[[Object], bool]) -> float:
    """When the first object of a kind was seen that holds."""
    async for event in lab.client.watch(kind, lab.namespace, resource_version=version):
        if event.type in ("ADDED", "MODIFIED") and holds(event.object):
            return time.monotonic()
    raise RuntimeError(f"the watch of {kind} ended before anything came of it")


async def _first_token(lab: Lab, name: str) -> float:
    while await lab.find(resources.SERVICE, name) is None:
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    url = await lab.url(name)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        while not (await ask(session, url, "ping", tokens=1)).served:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
    return time.monotonic()


def _is_ready(obj: Object) -> bool:
    found = condition(obj, "Ready")
    return found is not None and found["status"] == "True" and "deletionTimestamp" not in obj["metadata"]
