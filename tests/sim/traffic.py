"""Clients without retries: new connections through the Service, for as long as it has promised to answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.sim.clock import now
from tests.sim.world import World

from sluicegate.core.objects import Manifest, is_true, terminating, uid
from sluicegate.kube.resources import LLM_DEPLOYMENT, SERVICE
from sluicegate.shell.pods import NoAnswer

EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Failure:
    """A request that failed."""

    at: float
    deployment: str
    why: str


class Traffic:
    """Asks every LLMDeployment that has once said it is ready, four times a second."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._paused = False
        self._promised: set[str] = set()
        self.answered = 0
        self.failures: list[Failure] = []
        self.versions: set[str] = set()

    async def run(self) -> None:
        while not self._paused:
            for deployment in self._world.server.peek(LLM_DEPLOYMENT):
                self._ask(deployment)
            await asyncio.sleep(EVERY_SECONDS)

    def pause(self) -> None:
        """Ask no more."""
        self._paused = True

    def _ask(self, deployment: Manifest) -> None:
        if is_true(deployment, "Ready"):
            self._promised.add(uid(deployment))
        wanted = deployment["spec"].get("replicas", 1) and not terminating(deployment)
        if uid(deployment) not in self._promised or not wanted:
            return
        where = deployment["metadata"]
        service = self._world.server.find(SERVICE, where["namespace"], where["name"])
        address = service["spec"].get("clusterIP", "") if service else ""
        try:
            self.versions.add(self._world.reached(address).version)
            self.answered += 1
        except NoAnswer as failure:
            self.failures.append(Failure(now(), where["name"], str(failure)))
