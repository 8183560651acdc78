"""Rollouts among many deployments, one by one or all at once, and how long each of their steps takes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from statistics import median

from tests.faults.crowd import VERSIONS, quiet_stage, settled
from tests.sim.clock import now
from tests.sim.cluster.kubelet import Pace
from tests.sim.runner import START_SECONDS, simulate
from tests.sim.server.store import Change
from tests.sim.stage import Stage

from sluicegate.core.objects import Manifest, condition, is_true
from sluicegate.kube.resources import LLM_DEPLOYMENT

LONGEST_SECONDS = 300.0
APART_SECONDS = 30.0
PACE = Pace(pull=(0.5, 0.5), fetch=(1.0, 1.0), load=(1.0, 1.0), drain=(2.0, 2.0))
"""Nodes that take as long for each pod: what differs between rollouts is not theirs."""
PREFLIGHT, DONE = "Preflight", "done"


@dataclass
class Walk:
    """One rollout. `began` is when the spec was edited, in virtual seconds; `moments` are those after it at
    which the status first told of each step, and of DONE: Ready, and nothing under way."""

    began: float
    generation: int
    moments: dict[str, float] = field(default_factory=lambda: {PREFLIGHT: 0.0})

    def saw(self, deployment: Manifest) -> None:
        status = deployment.get("status") or {}
        if status.get("observedGeneration") != self.generation:
            return
        done = is_true(deployment, "Ready") and condition(deployment, "Reconciling") is None
        step = (status.get("rollout") or {}).get("step") or (DONE if done else None)
        if step is not None:
            self.moments.setdefault(step, now() - self.began)

    @property
    def seconds(self) -> float:
        return self.moments[DONE]

    @property
    def steps(self) -> dict[str, float]:
        """How long each step took."""
        return {name: after - at for (name, at), (_, after) in pairwise(self.moments.items())}


def delays(alone: Iterable[Walk], together: Iterable[Walk]) -> dict[str, list[float]]:
    """By how much longer each step took together than alone, for each walk; alone, its median counts."""
    usual, found = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for walk in alone:
        for step, seconds in walk.steps.items():
            usual[step].append(seconds)
    for walk in together:
        for step, seconds in walk.steps.items():
            found[step].append(seconds - median(usual[step]))
    return found


@cache
def walks(deployments: int, rolling: int, *, at_once: bool) -> tuple[Walk, ...]:
    """Rollouts of the first `rolling` deployments, at once or one after another."""
    start = settled(deployments, serving=rolling)

    async def perform() -> tuple[Walk, ...]:
        world = start.world.fork(start.world.server.fork())
        world.kubelet.pace = PACE
        stage = quiet_stage(world)
        followed: dict[str, Walk] = {}
        stage.server.store.listeners.append(lambda change: _follow(change, followed))
        async with stage.running():
            await stage.until(lambda: stage.process.leads, START_SECONDS)
            await asyncio.sleep(20)
            for number in range(rolling):
                _begin(stage, number, followed)
                await asyncio.sleep(0 if at_once else APART_SECONDS)
            ended = await stage.until(
                lambda: all(DONE in each.moments for each in followed.values()), LONGEST_SECONDS
            )
            assert ended, [name for name, walk in followed.items() if DONE not in walk.moments]
        return tuple(followed.values())

    return simulate(perform, start.time)


def _begin(stage: Stage, number: int, followed: dict[str, Walk]) -> None:
    name = f"d{number:04}"
    live = stage.find(LLM_DEPLOYMENT, name)
    assert live is not None
    followed[name] = Walk(now(), live["metadata"]["generation"] + 1)
    stage.edit(name, modelVersion=VERSIONS[(number + 1) % len(VERSIONS)])


def _follow(change: Change, followed: Mapping[str, Walk]) -> None:
    plural, _, named = change.key
    if plural.endswith(LLM_DEPLOYMENT.plural) and named in followed:
        followed[named].saw(change.new)
