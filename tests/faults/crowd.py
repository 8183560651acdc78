"""A cluster with many deployments in it, and how long each of them waits for the operator."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.builders import a_model_version
from tests.sim.apiserver import ApiServer
from tests.sim.clock import now
from tests.sim.faults import Script
from tests.sim.process import HOME, NAMESPACE, Installation, OperatorProcess
from tests.sim.runner import REST_SECONDS, START_SECONDS, Beginning, simulate
from tests.sim.stage import CRDS, USER, Stage, a_deployment
from tests.sim.world import World

from sluicegate.core.objects import name
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.kube.transport import Query, Response, Stream, Transport
from sluicegate.shell.lease import Timing

SLOW_LEASE = Timing(lease=1500, renew_deadline=1000, retry=200)
NEIGHBOUR = "d0000"
VERSIONS = ("v0", "v1", "v2", "v3")


@dataclass(frozen=True)
class Neighbour:
    """The first deployment: edited so often, in seconds, and with `code` for what it `refuses`: "GET", or
    "write" for all that is written for it.

    A refusal with 200 is an answer that nobody foresaw.
    """

    every: float
    refuses: str = ""
    code: int = 0


class Poisoned:
    """The way to an API server that has trouble with one deployment."""

    def __init__(self, server: ApiServer, neighbour: Neighbour | None) -> None:
        self._server = server
        self._neighbour = neighbour

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        child = str(((body or {}).get("metadata") or {}).get("name", ""))
        its = f"/llmdeployments/{NEIGHBOUR}" in path or child.startswith(NEIGHBOUR)
        kind = "GET" if method == "GET" else "write"
        if self._neighbour is not None and its and self._neighbour.refuses == kind:
            return self._server.refusal(self._neighbour.code, path)
        return await self._server.request(method, path, query, body, content_type)

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._server.stream(path, query)

    async def close(self) -> None: ...


@cache
def settled(deployments: int, serving: int = 0) -> Beginning:
    """So many deployments and some ModelVersions, with nothing left to do.

    The first `serving` have one replica, and there is room for as many more; the others have none.
    """

    async def prepare() -> Beginning:
        world = World(ApiServer(CRDS, namespaces=(NAMESPACE, HOME)), 0)
        world.nodes.add("node-a", **{"nvidia.com/gpu": str(8 + 2 * serving)})
        stage = quiet_stage(world)
        for version in VERSIONS:
            stage.create(a_model_version(version, ready=False))
        for number in range(deployments):
            replicas = int(number < serving)
            stage.create(a_deployment(f"d{number:04}", VERSIONS[number % len(VERSIONS)], replicas))
        async with stage.running():
            await stage.until(lambda: stage.process.leads, START_SECONDS)
            assert await stage.quiet(REST_SECONDS, 10 * START_SECONDS), "the many never settle"
            stage.process.stop()
            await asyncio.sleep(REST_SECONDS)
        return Beginning(world, now())

    return simulate(prepare)


@cache
def waits(deployments: int, edits: int, neighbour: Neighbour | None = None) -> list[float]:
    """Virtual seconds from each edit of a deployment to the status that tells of it, shortest first.

    Ten of them are edited a second. The `neighbour` is the first deployment, and none of these.
    """
    start = settled(deployments)

    async def perform() -> list[float]:
        world = start.world.fork(start.world.server.fork())
        stage = quiet_stage(world, Poisoned(world.server, neighbour))
        chance = random.Random(0)
        async with stage.running():
            await stage.until(lambda: stage.process.leads, START_SECONDS)
            await asyncio.sleep(5)
            bad = asyncio.create_task(_edited_for_ever(stage, neighbour))
            await asyncio.sleep(20)
            told = []
            for _ in range(edits):
                chosen = f"d{chance.randrange(1, deployments):04}"
                told.append(asyncio.create_task(_told(stage, chosen, chance.randint(60, 86_400))))
                await asyncio.sleep(chance.uniform(0.05, 0.15))
            found = await asyncio.gather(*told)
            bad.cancel()
        return sorted(found)

    return simulate(perform, start.time)


def quiet_stage(world: World, way: Transport | None = None) -> Stage:
    """Without clients, and without the invariants: they look at all there is at each write."""
    installation = Installation(lease=SLOW_LEASE)
    stage = Stage(world, Script(), installation)
    way = way or world.server.as_user(USER)
    stage.processes = [OperatorProcess(world, stage.script, stage.journal, installation, way)]
    stage.traffic.pause()
    return stage


async def _edited_for_ever(stage: Stage, neighbour: Neighbour | None) -> None:
    for number in itertools.count(1):
        if neighbour is not None:
            stage.edit(NEIGHBOUR, engine={"device": "CUDA", "maxConcurrentSequences": 1 + number % 7})
        await asyncio.sleep(neighbour.every if neighbour is not None else 1.0)


async def _told(stage: Stage, deployment: str, number: int) -> float:
    began = now()
    stage.edit(deployment, rollout={"progressDeadlineSeconds": number})
    wanted = stage.find(LLM_DEPLOYMENT, deployment)
    assert wanted is not None
    generation = wanted["metadata"]["generation"]

    def is_told() -> bool:
        live = stage.find(LLM_DEPLOYMENT, deployment)
        return bool(live and (live.get("status") or {}).get("observedGeneration", 0) >= generation)

    assert await stage.until(is_told, 600), f"{name(wanted)} was never looked at"
    return now() - began
