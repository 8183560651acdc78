"""Runs of one workload that go apart only where something goes wrong: what comes before is played once.

The trunk is the workload without faults. Where a run's first fault is due the process forks: the child goes
on as that run and tells what became of it; the trunk waits for it and goes on. Each can be replayed alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import traceback
from collections import defaultdict
from collections.abc import Iterable
from typing import NoReturn

from tests.sim.faults import Channel, Script
from tests.sim.runner import NEVER, Run, play, reference

Told = tuple[float, list[str]]
"""The seconds until the end, and what was wrong."""

SILENT = "its process ended without a word"


def grown(runs: Iterable[Run]) -> dict[Run, Told]:
    """What became of each run. All are of one workload and seed, and have faults.

    Raises AssertionError where the trunk itself goes wrong.
    """
    due = list(runs)
    assert due, "no run to make"
    (workload, seed) = {(each.workload, each.seed) for each in due}.pop()
    wanted = reference(workload, seed)
    branching = Branching(due)
    try:
        result = play(Run(workload, seed), wanted, script=branching)
        seconds, problems = result.seconds, result.problems
    except BaseException:
        if branching.run is None:
            raise
        seconds, problems = 0.0, [traceback.format_exc()]
    if branching.run is not None:
        branching.tell((seconds, problems))
    assert not problems, [f"{workload} {seed} without faults", *problems]
    return {each: branching.told.get(each, (0.0, [NEVER])) for each in due}


class Branching(Script):
    """`run` is what this process goes on as; in the trunk it is None, and `told` what children told."""

    def __init__(self, runs: Iterable[Run]) -> None:
        super().__init__()
        self._branches: dict[tuple[Channel, int], list[Run]] = defaultdict(list)
        for each in runs:
            self._branches[each.faults[0].channel, each.faults[0].number].append(each)
        self.run: Run | None = None
        self.told: dict[Run, Told] = {}

    def next(self, channel: Channel) -> tuple[int, str | None]:
        for each in self._branches.pop((channel, self.counts()[channel] + 1), ()):
            if self._goes_on_as(each):
                break
        return super().next(channel)

    def tell(self, told: Told) -> NoReturn:
        """What became of this child, which ends."""
        with os.fdopen(self._way, "w") as way:
            json.dump(told, way)
        os._exit(0)

    def _goes_on_as(self, run: Run) -> bool:
        """Whether this is the child that goes on as the run. In the trunk it has ended and told."""
        loop = asyncio.get_running_loop()
        ear, mouth = os.pipe()
        child = os.fork()
        if child:
            os.close(mouth)
            with os.fdopen(ear) as told:
                said = told.read()
            os.waitpid(child, 0)
            seconds, problems = json.loads(said) if said else (0.0, [SILENT])
            self.told[run] = (seconds, problems)
            return False
        os.close(ear)
        # It lives for a moment; a collection would touch, and so copy, all of the memory that it shares.
        gc.disable()
        # A process that has forked does not take its parent's loop for its own.
        asyncio._set_running_loop(loop)
        self.run, self._way = run, mouth
        self._branches.clear()
        self.begin(run.faults)
        return True
