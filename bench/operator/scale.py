"""Many LLMDeployments on a real API server: creation beside a bare client, restart, resync, memory.

There is no kubelet, so that nothing but the operator and the API server uses the machine. Deployments are
made while the operator is paused: the rate is its own, and not that of whoever makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from e2e.cluster.progress import Progress
from e2e.lab.audit import Request

from bench.operator import rival
from bench.operator.figures import Bar, Figure, add_output, show
from bench.operator.process import DEFAULTS, OperatorProcess, operator
from bench.operator.stage import BARE, MANAGER, OPERATOR, OWNED, VERSION, Stage, deployment, stage
from sluicegate.kube import resources

RUNS = 5
RESYNC_SECONDS = 10


@dataclass
class Runs:
    """What is measured, run by run."""

    operator_rate: list[float] = field(default_factory=list)
    bare_rate: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    synced: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    resync_writes: list[float] = field(default_factory=list)

    def figures(self, count: int) -> list[Figure]:
        ratios = [a / b for a, b in zip(self.operator_rate, self.bare_rate, strict=True)]
        many = f"{count} deployments"
        return [
            Figure(f"creation of {many}: the operator's rate / a bare client's", "", ratios, Bar("≥", 0.7)),
            Figure("  the operator", "children/s", self.operator_rate),
            Figure("  the bare client", "children/s", self.bare_rate),
            Figure(f"restart with {many}: synced after", "s", self.synced, Bar("≤", 30)),
            Figure(f"restart with {many}: writes", "", self.writes, Bar("≤", 0)),
            Figure(f"resync of {many}: writes", "", self.resync_writes, Bar("≤", 0)),
            Figure(f"memory with {many}, peak", "MB", self.peak, Bar("≤", 250)),
            Figure(f"memory with {many}, once synced", "MB", self.resident, Bar("≤", 250)),
            Figure("memory with 1 deployment", "MB", self.small, Bar("≤", 120)),
        ]


class Scale:
    """The measurement on one stage; `count` deployments, made in as many rounds as there are runs."""

    def __init__(self, on: Stage, count: int, progress: Progress) -> None:
        self._stage = on
        self._progress = progress
        self._runs = Runs()
        self._names = [f"scale-{number:05}" for number in range(count)]

    async def run(self) -> list[Figure]:
        first, *_ = self._names
        await self._stage.client.create(deployment(first), MANAGER)
        for _ in range(RUNS):
            async with self._operator() as running:
                await self._one(running)
        async with self._operator() as running:
            await running.passed(_keys([first]))
            await running.quiet()
            for names in _rounds(self._names[1:]):
                await self._round(running, names)
        for _ in range(RUNS):
            async with self._operator() as running:
                await self._restart(running)
        async with self._operator(RESYNC_SECONDS) as running:
            await self._resync(running)
        return self._runs.figures(len(self._names))

    @asynccontextmanager
    async def _operator(self, resync_seconds: int = 600) -> AsyncIterator[OperatorProcess]:
        kubeconfig = self._stage.kubeconfig(OPERATOR)
        async with operator(kubeconfig, self._stage.folder, resync_seconds) as running:
            yield running

    async def _one(self, running: OperatorProcess) -> None:
        await running.passed(_keys(self._names[:1]))
        await running.quiet()
        self._runs.small.append(running.megabytes("VmRSS"))
        self._progress.say(f"with one deployment: {self._runs.small[-1]:.0f} MB")

    async def _round(self, running: OperatorProcess, names: Sequence[str]) -> None:
        since = datetime.now(UTC)
        running.pause()
        await rival.side_by_side(self._make, names)
        running.go_on()
        await running.passed(_keys(names))
        await running.quiet()
        made = _children(self._stage.requests(OPERATOR, since))
        families = await self._copies(names)
        if len(made) != (wanted := sum(map(len, families))):
            raise RuntimeError(f"the operator made {len(made)} children, its plans have {wanted}")
        await rival.create(families, str(self._stage.kubeconfig(BARE)))
        copied = _children(self._stage.requests(BARE, since))
        await rival.remove(self._stage.client, families)
        self._runs.operator_rate.append(_rate(made))
        self._runs.bare_rate.append(_rate(copied))
        self._progress.say(
            f"{len(made)} children: the operator {_rate(made):.0f}/s, the bare client {_rate(copied):.0f}/s"
        )

    async def _make(self, name: str) -> None:
        await self._stage.client.create(deployment(name), MANAGER)

    async def _copies(self, names: Sequence[str]) -> list[list[rival.Object]]:
        client = self._stage.client
        version = await client.get(resources.MODEL_VERSION, OWNED, VERSION)
        found = (await client.list(resources.LLM_DEPLOYMENT, OWNED)).items
        return [
            rival.copies(each, version, DEFAULTS) for each in found if each["metadata"]["name"] in set(names)
        ]

    async def _restart(self, running: OperatorProcess) -> None:
        since = datetime.now(UTC)
        await running.ready()
        await running.passed(_keys(self._names))
        self._runs.synced.append(time.monotonic() - running.started)
        await running.quiet()
        self._runs.resident.append(running.megabytes("VmRSS"))
        self._runs.peak.append(running.megabytes("VmHWM"))
        self._runs.writes.append(self._writes(since))
        self._progress.say(
            f"restarted: synced after {self._runs.synced[-1]:.1f} s, {self._runs.peak[-1]:.0f} MB at most"
        )

    async def _resync(self, running: OperatorProcess) -> None:
        await running.passed(_keys(self._names))
        await running.quiet()
        since = datetime.now(UTC)
        running.forget_passes()
        with self._progress.step("a resync, ten deployments a second"):
            await running.passed(_keys(self._names))
        self._runs.resync_writes.append(self._writes(since))

    def _writes(self, since: datetime) -> int:
        return sum(request.writes for request in self._stage.requests(OPERATOR, since))


def _keys(names: Sequence[str]) -> set[str]:
    return {f"LLMDeployment {OWNED}/{name}" for name in names}


def _rounds(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[number::RUNS] for number in range(RUNS)]


def _children(asked: Sequence[Request]) -> list[Request]:
    kept = [each for each in asked if each.verb == "create" and each.code == 201]
    return [each for each in kept if each.resource != "events"]


def _rate(made: Sequence[Request]) -> float:
    """A second, from the first to the last answer."""
    times = [each.at for each in made]
    return (len(times) - 1) / (max(times) - min(times)).total_seconds()


async def _measure(count: int) -> list[Figure]:
    progress = Progress()
    async with stage() as ready:
        progress.say("the API server is up")
        return await Scale(ready, count, progress).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.operator.scale", description=__doc__)
    parser.add_argument("--deployments", type=int, default=1000)
    add_output(parser)
    options = parser.parse_args()
    show(asyncio.run(_measure(options.deployments)), options.output)


if __name__ == "__main__":
    main()
