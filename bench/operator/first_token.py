"""From apply to the first token, with Sluicegate and with a plain ReplicaSet in turn, on the local cluster.

What Sluicegate adds is what the plain ReplicaSet does not have: the time until the ReplicaSet is there, and
the time from ready pods until the Service answers. Run inside the cluster's network.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field

from e2e.cluster.progress import Progress
from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version

from bench.lab import labs
from bench.operator import plain
from bench.operator.figures import Bar, Figure, add_output, show
from bench.operator.timeline import Timeline, timeline
from sluicegate.core.objects import name as name_of
from sluicegate.kube import resources
from sluicegate.kube.resources import resource_of

NAME, VERSION, FOLDER = "chat", "tiny-a", "tiny-a"


@dataclass
class Runs:
    """What is measured, run by run."""

    inspections: list[float] = field(default_factory=list)
    ours: list[Timeline] = field(default_factory=list)
    plain: list[Timeline] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        ours, plain = self.ours, self.plain
        share = [each.reaction + each.opening for each in ours]
        return [
            Figure("first token: Sluicegate's own share", "s", share, Bar("≤", 3)),
            Figure("  from apply to its ReplicaSet", "s", [each.reaction for each in ours]),
            Figure("  from ready pods to an answer", "s", [each.opening for each in ours]),
            Figure("  from ready pods to Ready=True", "s", [each.said - each.pods_ready for each in ours]),
            Figure("  both of a plain ReplicaSet", "s", [each.reaction + each.opening for each in plain]),
            Figure("first token: with Sluicegate", "s", [each.total for each in ours]),
            Figure("first token: with a plain ReplicaSet", "s", [each.total for each in plain]),
            Figure("ModelVersion: from apply to verified", "s", self.inspections),
        ]


class FirstToken:
    """The measurement in two namespaces, one of Sluicegate's and a plain one."""

    def __init__(self, ours: Lab, other: Lab, progress: Progress) -> None:
        self._ours = ours
        self._plain = other
        self._progress = progress
        self._runs = Runs()

    async def run(self, count: int) -> list[Figure]:
        for number in range(count):
            await self._inspect(f"{VERSION}-{number}")
        await self._ours.apply(a_model_version(VERSION, FOLDER))
        await self._ours.verified(VERSION)
        for _ in range(count):
            await self._with_sluicegate_and_without()
        return self._runs.figures()

    async def _inspect(self, name: str) -> None:
        began = time.monotonic()
        await self._ours.apply(a_model_version(name, FOLDER))
        await self._ours.verified(name)
        self._runs.inspections.append(time.monotonic() - began)
        self._progress.say(f"inspected in {self._runs.inspections[-1]:.1f} s")
        await self._ours.delete(resources.MODEL_VERSION, name)

    async def _with_sluicegate_and_without(self) -> None:
        deployment = a_deployment(NAME, VERSION, rollout={"drainSeconds": 5})
        ours = await timeline(self._ours, NAME, lambda: self._ours.apply(deployment), says=True)
        self._runs.ours.append(ours)
        self._progress.say(f"Sluicegate: {ours.reaction:.2f} + {ours.opening:.2f} s of {ours.total:.1f} s")
        same = await plain.copy_of(self._ours, NAME)
        await self._ours.delete(resources.LLM_DEPLOYMENT, NAME)
        await _without_pods(self._ours)
        other = await timeline(self._plain, NAME, lambda: self._plain.apply(*same), says=False)
        self._runs.plain.append(other)
        self._progress.say(f"plain: {other.reaction:.2f} + {other.opening:.2f} s of {other.total:.1f} s")
        for manifest in same:
            await self._plain.delete(resource_of(manifest), name_of(manifest))
        await _without_pods(self._plain)


async def _without_pods(lab: Lab) -> None:
    """Ends what is left without its grace period, and returns when it is gone."""
    while pods := await lab.all(resources.POD):
        for pod in pods:
            if pod["metadata"].get("deletionGracePeriodSeconds") != 1:
                await lab.delete(resources.POD, name_of(pod), grace_seconds=1)
        await asyncio.sleep(0.2)


async def _measure(runs: int) -> list[Figure]:
    progress = Progress()
    async with labs(progress, "bench-ours", "bench-plain") as (ours, other):
        return await FirstToken(ours, other, progress).run(runs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.operator.first_token", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    add_output(parser)
    options = parser.parse_args()
    show(asyncio.run(_measure(options.runs)), options.output)


if __name__ == "__main__":
    main()
