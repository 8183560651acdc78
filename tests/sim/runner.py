"""Plays a workload with faults in virtual time, and judges whether the operator got over them.

First comes the reference: the workload without faults. From its journal the points are counted at which
something can go wrong; each run repeats it with one fault or two, and has to come to the same end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TypeVar

from tests.sim.clock import now
from tests.sim.deletions import DELETIONS
from tests.sim.end_state import State, difference, end_state
from tests.sim.faults import COALESCE, DROP, LATE, PAST, STALE, TIMEOUT, Channel, Fault, Script, fault
from tests.sim.hot_reloads import HOT_RELOADS
from tests.sim.hygiene import Hygiene
from tests.sim.in_place import astray
from tests.sim.leadership import usurped
from tests.sim.minds import MINDS
from tests.sim.process import Installation, expected
from tests.sim.rollouts import ROLLOUTS
from tests.sim.stage import Stage
from tests.sim.standstill import Loop
from tests.sim.truth import unforgotten, untrue
from tests.sim.wire import Journal
from tests.sim.workloads import OTHERS, WORKLOADS, Workload
from tests.sim.world import World

from sluicegate.shell.lease import Timing

START_SECONDS = 120.0
REST_SECONDS = 3.0
"""After as long without a change nothing is under way any more."""
ANSWER_SECONDS = 40.0
"""Longer than the operator waits for an answer."""
SILENCE_SECONDS = 90.0
"""Longer than a watch may say nothing before it is given up."""
MOST_CALLS = 3_000
"""Far more than any run needs. Who sends them never rests: it is ended, so that the run is over some time."""
LATER_SECONDS = 60.0
"""What is put off comes within this time."""
UNHURRIED = Timing(lease=75, renew_deadline=50, retry=10)
"""Where nobody else wants the Lease, renewing it is most of what happens in a run."""

HANGING = frozenset({TIMEOUT, LATE})
MISINFORMED = frozenset({"404", STALE, PAST, DROP, COALESCE})
"""What the operator holds true after these is not, and nothing tells it until it looks again."""

NEVER = "the fault never happened: the run is not the reference's"

T = TypeVar("T")

EVERY_WORKLOAD = WORKLOADS | OTHERS | DELETIONS | ROLLOUTS | HOT_RELOADS | MINDS


@dataclass(frozen=True)
class Run:
    """One way through a workload. Written `version-change 0 call:17:lost`."""

    workload: str
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.workload, str(self.seed), *map(str, self.faults)])


def run(text: str) -> Run:
    """The run that a text stands for. Raises ValueError."""
    workload, seed, *faults = text.split()
    if workload not in EVERY_WORKLOAD:
        raise ValueError(f"{workload!r} is no workload: take one of {', '.join(EVERY_WORKLOAD)}")
    return Run(workload, int(seed), tuple(map(fault, faults)))


Counts = dict[Channel, int]


@dataclass
class Result:
    """`problems` is empty where all is well. `before` and `after` count what had happened until the change,
    and until the end, which took `seconds` to reach."""

    journal: Journal
    state: State = field(default_factory=dict)
    before: Counts = field(default_factory=dict)
    after: Counts = field(default_factory=dict)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Beginning:
    """A cluster at rest, from which runs start."""

    world: World
    time: float


def simulate(main: Callable[[], Awaitable[T]], start: float = 0.0) -> T:
    """Run something in virtual time, in an event loop of its own."""
    made: list[T] = []

    async def perform() -> None:
        # Not the task's result: a Runner that ends writes that out, and a journal's lines are many.
        made.append(await main())

    with asyncio.Runner(loop_factory=partial(Loop, start)) as runner:
        runner.run(perform())
    return made[0]


@cache
def beginning(workload: str, seed: int) -> Beginning:
    """Where a workload begins: the operator has done all there is to do, and ended in order."""
    chosen = EVERY_WORKLOAD[workload]

    async def prepare() -> Beginning:
        stage = Stage.empty(seed)
        chosen.given(stage)
        async with stage.running():
            assert await stage.until(lambda: stage.process.leads, START_SECONDS)
            assert await stage.until(lambda: chosen.settled(stage), START_SECONDS), f"{workload} never begins"
            await chosen.before(stage)
            await stage.quiet(REST_SECONDS, START_SECONDS)
            stage.process.stop()
            await asyncio.sleep(REST_SECONDS)
        return Beginning(stage.world, now())

    return simulate(prepare)


@cache
def reference(workload: str, seed: int = 0) -> Result:
    """The workload without faults. Raises AssertionError where that has problems already."""
    result = play(Run(workload, seed), None)
    assert not result.problems, [f"{workload} {seed} without faults", *result.problems]
    return result


def tried(chosen: Run) -> Result:
    """The run, compared with its reference."""
    return play(chosen, reference(chosen.workload, chosen.seed))


Disturbance = Callable[[Stage], None]


def undisturbed(stage: Stage) -> None:
    """Nothing but the run's faults."""


def play(
    chosen: Run,
    wanted: Result | None,
    disturb: Disturbance = undisturbed,
    patience: float = 0.0,
    standbys: int = 0,
    script: Script | None = None,
) -> Result:
    """Make a run and compare it with a reference.

    `disturb` is done just before the change; its end may come `patience` seconds later than usual. As many
    `standbys` as wanted are beside the operator that leads. What goes wrong is the run's faults, or what a
    `script` of the caller's says.
    """
    start = beginning(chosen.workload, chosen.seed)

    async def perform() -> Result:
        world = start.world.fork(start.world.server.fork())
        lease = Timing() if standbys else UNHURRIED
        stage = Stage(world, script or Script(chosen.faults), Installation(lease=lease))
        for number in range(1, standbys + 1):
            stage.another(Installation(f"operator-{number}"))
        workload = EVERY_WORKLOAD[chosen.workload]
        patient = replace(workload, seconds=workload.seconds + patience)
        return await _performed(stage, patient, wanted, disturb)

    return simulate(perform, start.time)


async def _performed(stage: Stage, workload: Workload, wanted: Result | None, disturb: Disturbance) -> Result:
    result = Result(stage.journal)
    problems = result.problems
    with Hygiene(faulty=wanted is not None) as hygiene:
        async with stage.running():
            watch = asyncio.create_task(_end_who_never_rests(stage, problems))
            if not await stage.until(lambda: stage.is_manned, START_SECONDS):
                problems.append(f"the operator did not lead within {START_SECONDS:.0f} s")
            await asyncio.sleep(1)
            result.before = stage.script.counts()
            stage.script.origin = stage.server.store.version
            since = now()
            disturb(stage)
            await workload.when(stage)
            await _converge(stage, workload, wanted, result)
            result.seconds = now() - since - REST_SECONDS
            result.after = stage.script.counts()
            slow = any(each.what in HANGING for each in stage.script.faults)
            pause = ANSWER_SECONDS if slow else REST_SECONDS
            problems += await _stays_so(stage, pause if disturb is undisturbed else SILENCE_SECONDS)
            problems += await _untrue(stage)
            problems += unforgotten(stage)
            problems += astray(stage.world)
            watch.cancel()
        problems += hygiene.findings
    problems += _misconduct(stage, workload)
    if not stage.script.begun and not problems:
        problems.append(NEVER)
    return result


async def _converge(stage: Stage, workload: Workload, wanted: Result | None, result: Result) -> None:
    began = now()

    def left() -> float:
        # Asked anew each time: a branch learns of its faults on the way.
        return began + workload.seconds + (_delay(stage) if wanted else 0) - now()

    while left() > 0:
        await stage.until(lambda: workload.then(stage) or left() <= 0, math.inf)
        await stage.quiet(REST_SECONDS, max(0.0, left()) + REST_SECONDS)
        result.state = end_state(stage.world)
        if workload.then(stage) and (wanted is None or result.state == wanted.state):
            return
        await asyncio.sleep(1)
    result.problems.append(f"it did not converge within {now() - began:.0f} s")
    if wanted is not None:
        result.problems += difference(result.state, wanted.state)


async def _end_who_never_rests(stage: Stage, problems: list[str]) -> None:
    await stage.until(lambda: len(stage.journal.calls) > MOST_CALLS, math.inf)
    problems.append(f"the operator sent more than {MOST_CALLS} requests")
    for process in stage.processes:
        process.lose()


def _delay(stage: Stage) -> float:
    """How much later than the reference its faults may let a run end.

    Where the operator hears of them it is less than the time to the next resync: nothing is to hang on that.
    """
    return ANSWER_SECONDS + _resync_seconds(stage)


def _resync_seconds(stage: Stage) -> float:
    """How long it takes at most until news are seen that no watch brought; 0 where they all came."""
    lost = stage.process.conditions.changes_lost
    misinformed = lost or any(each.what in MISINFORMED for each in stage.script.faults)
    return 1.1 * stage.process.installation.resync_seconds if misinformed else 0.0


async def _untrue(stage: Stage) -> list[str]:
    """What the caches still hold wrongly when they had the time to learn of it."""
    for _ in range(math.ceil(_resync_seconds(stage) / ANSWER_SECONDS)):
        if not any(untrue(stage)):
            break
        await asyncio.sleep(ANSWER_SECONDS)
    return list(untrue(stage))


async def _stays_so(stage: Stage, pause: float) -> list[str]:
    """What is still written once all is done and a pause is over, also when all is looked at again."""
    await asyncio.sleep(pause)
    stage.traffic.pause()
    before, since = len(stage.journal.calls), now()
    await stage.look_again()
    await asyncio.sleep(LATER_SECONDS)
    after = [each for each in stage.journal.writes(before) if each.sent >= since]
    return [f"a write after the end: {each.method} {each.path}" for each in after]


def _misconduct(stage: Stage, workload: Workload) -> list[str]:
    """What happened on the way that never may."""
    problems = list(dict.fromkeys(stage.invariants.breaches))
    problems += stage.invariants.retirements.at_once(stage.journal)
    if stage.server.rights:
        problems += [f"it may not {each}" for each in stage.server.rights.refused]
    exits = [error for process in stage.processes for _, error in process.exits]
    unexpected = [error for error in exits if not expected(error)]
    problems += [f"the operator ended with {error!r}" for error in unexpected]
    problems += usurped(stage)
    problems += _outage(stage, workload)
    return problems


def _outage(stage: Stage, workload: Workload) -> list[str]:
    """For how long requests failed, where that is longer than they may. What would end an outage may hang."""
    failures, bound = stage.traffic.failures, workload.outage_seconds
    if bound and any(each.what in HANGING for each in stage.script.faults):
        bound += ANSWER_SECONDS
    if not failures or (bound and failures[-1].at - failures[0].at <= bound):
        return []
    return [f"{len(failures)} requests failed from {failures[0].at:.1f} s on: {failures[0].why}"]


def numbers(result: Result, channel: Channel) -> range:
    """The numbers, in a channel, of what happened after the change."""
    return range(result.before[channel] + 1, result.after[channel] + 1)
