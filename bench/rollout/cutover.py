"""How fast a verified version takes over on the local cluster: from pod to Service, from Service to clients.

A rollout needs new pods, which take most of a minute. So that fifty switches take no hour, each is gone back
on as soon as it was watched, while the old pods still wait for their end: that switch is as any other, with
two live versions, and needs no engine to start.

Run inside the cluster's network.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field

from e2e.cluster.progress import Progress
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, condition
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.switches import Switch, switches
from e2e.lab.watcher import Sightings, watching

from bench.lab import labs
from bench.operator.figures import Bar, Figure, add_output, show
from bench.rollout.probing import Probe, probing
from sluicegate.core import naming
from sluicegate.kube import resources

NAME = "chat"
VERSIONS = ("tiny-a", "tiny-b")
WATCHED_SECONDS = 1.5
"""After the old version has left the Service. Half a second later its pods are told to end."""
LOOK_SECONDS = 0.02


@dataclass
class Runs:
    """What is measured, switch by switch, in seconds."""

    last_on_old: list[float] = field(default_factory=list)
    after_ready: list[float] = field(default_factory=list)
    unanswered: int = 0

    def figures(self) -> list[Figure]:
        count = len(self.last_on_old)
        slowest = [max(self.last_on_old)]
        return [
            Figure(
                f"Cutover to the last new connection on the old pods, worst of {count}",
                "s",
                slowest,
                Bar("≤", 2),
            ),
            Figure("  each of them", "s", self.last_on_old),
            Figure("  new connections that were not answered", "", [self.unanswered], Bar("≤", 0)),
            Figure("candidate Ready to Cutover, without gates", "s", self.after_ready, Bar("≤", 1)),
        ]


class Cutovers:
    """The measurement in one namespace."""

    def __init__(self, lab: Lab, progress: Progress) -> None:
        self._lab = lab
        self._progress = progress
        self._runs = Runs()
        self._turn = 0

    async def run(self, rounds: int, count: int) -> list[Figure]:
        """So many rounds, and as many switches as `count` in all."""
        lab = self._lab
        await lab.apply(*(a_model_version(each, each) for each in VERSIONS), a_deployment(NAME, VERSIONS[0]))
        await lab.verified(*VERSIONS)
        await lab.settled(NAME)
        for number in range(rounds):
            share = len(range(number, count, rounds))
            async with (
                watching(lab.client, resources.SERVICE, lab.namespace, NAME) as service,
                watching(lab.client, resources.POD, lab.namespace, "") as pods,
                probing(await lab.url(NAME)) as probes,
            ):
                await self._round(share, service)
            self._runs.after_ready.append(_after_ready(switches(service.seen)[0], pods))
            self._watched(switches(service.seen), probes)
            await lab.settled(NAME)
        return self._runs.figures()

    async def _round(self, share: int, service: Sightings) -> None:
        """There and back, again and again, as many switches as its share is."""
        for number in range(1, share + 1):
            self._turn += 1
            await self._lab.edit(NAME, modelVersion=VERSIONS[self._turn % 2])
            deadline = time.monotonic() + ENGINE_START_SECONDS
            while len(done := switches(service.seen)) < number:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"switch {number} does not come")
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(done[-1].removed + WATCHED_SECONDS - time.monotonic())
            self._progress.say(f"{self._turn} switches")

    def _watched(self, done: list[Switch], probes: list[Probe]) -> None:
        first = self._turn - len(done)
        ends = [*(each.added for each in done[1:]), done[-1].removed + WATCHED_SECONDS]
        for number, (switch, end) in enumerate(zip(done, ends, strict=True)):
            old = VERSIONS[(first + number) % 2]
            seen = [each for each in probes if switch.added <= each.at < end]
            last = max((each.at for each in seen if each.version == old), default=switch.added)
            self._runs.last_on_old.append(last - switch.added)
            self._runs.unanswered += sum(not each.version for each in seen)
        told = ", ".join(f"{each:.2f}" for each in self._runs.last_on_old[-len(done) :])
        self._progress.say(f"the last new connections on old pods after {told} s")


def _after_ready(switch: Switch, pods: Sightings) -> float:
    """From the sighting of the candidate's ready pod to the first write of its Cutover."""
    return switch.added - next(
        each.at
        for each in pods.seen
        if each.object["metadata"]["labels"][naming.ROLLOUT] == switch.rollout
        and (condition(each.object, "Ready") or {}).get("status") == "True"
    )


async def _measure(rounds: int, count: int) -> list[Figure]:
    progress = Progress()
    async with labs(progress, "bench-rollout") as (lab,):
        return await Cutovers(lab, progress).run(rounds, count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rollout.cutover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="after each all comes to rest")
    parser.add_argument("--switches", type=int, default=50, help="in all")
    add_output(parser)
    options = parser.parse_args()
    show(asyncio.run(_measure(options.rounds, options.switches)), options.output)


if __name__ == "__main__":
    main()
