"""What the gate costs: vLLM bare and in a pod of ours on one device, asked in turn.

Both run all the time, and the one that is not asked has nothing to do. So they have the same places: the same
device, the same processors, of which the clients use none, and the same compiled code. In many short rounds
each is asked right after the other, so that what the machine does besides falls on both. They have the same
model, flags and environment; the pod adds supervisor, gate, worker extension and the line that its log gets
for each request. Run where vLLM is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from tests.engine.pod import DIGEST, start_pod

from bench.operator.figures import Bar, Figure, add_output, show
from bench.reload.checkpoints import EIGHT_BILLION, MODELS, TINY, write_checkpoints
from bench.reload.driver import MODULE, START_SECONDS
from bench.reload.report import failures
from bench.reload.rivals import server
from bench.reload.streams import Request, Streams, Window, first_tokens, rate
from sluicegate_engine.gate_settings import GateSettings
from sluicegate_engine.launch import engine_environment

_AT_A_TIME = 64
_FLAGS = (
    "--max-model-len=4096",
    f"--max-num-seqs={_AT_A_TIME}",
    "--dtype=bfloat16",
    # Two share the device. What each may take is told, for it could not find out while the other starts.
    "--gpu-memory-utilization=0.4",
    "--kv-cache-memory-bytes=8000000000",
    # The pod's has none either.
    "--disable-uvicorn-access-log",
)


@dataclass(frozen=True)
class Plan:
    """`flags` are vLLM's. Each round loads the two with `streams` clients, one after the other.

    An answer has `tokens`, up to `spread` more or less: all clients would ask in step else. With the engine
    they do all the same, for they ask again when one of its steps has ended; so each round loads the two once
    more with clients that think for up to `think` seconds first. `seconds` is how long each figure is
    measured; `settle` is how long the streams flow before.
    """

    shape: dict[str, Any]
    module: str
    flags: Sequence[str]
    streams: int
    rounds: int
    seconds: float
    tokens: int = 128
    spread: int = 64
    think: float = 0.02
    settle: float = 2.0


@dataclass(frozen=True)
class Turn:
    """Tokens a second under load, and medians of milliseconds to a first token: under this load, under that
    of clients that think before they ask, and alone."""

    rate: float
    loaded: float
    thinking: float
    alone: float
    failures: int


async def measure(plan: Plan, model: Path, directory: Path) -> list[Figure]:
    async with aiohttp.ClientSession() as session, _both(session, plan, model, directory) as urls:
        rounds = [await _round(session, urls, plan, number) for number in range(plan.rounds)]
    return compare([bare for bare, _ in rounds], [ours for _, ours in rounds])


def compare(bare: Sequence[Turn], ours: Sequence[Turn]) -> list[Figure]:
    """The turns of both, in the order of the rounds."""

    def added(value: Callable[[Turn], float]) -> list[float]:
        return [value(mine) - value(theirs) for theirs, mine in zip(bare, ours, strict=True)]

    lost = [100 * (1 - mine.rate / theirs.rate) for theirs, mine in zip(bare, ours, strict=True)]
    return [
        Figure("tokens a second, bare", "", [turn.rate for turn in bare]),
        Figure("  with the gate", "", [turn.rate for turn in ours]),
        Figure("  lost", "%", lost, Bar("≤", 3)),
        Figure("first token under this load, bare", "ms", [turn.loaded for turn in bare]),
        Figure("  with the gate", "ms", [turn.loaded for turn in ours]),
        Figure("  added", "ms", added(lambda turn: turn.loaded), Bar("≤", 1)),
        Figure("first token, clients that think, bare", "ms", [turn.thinking for turn in bare]),
        Figure("  with the gate", "ms", [turn.thinking for turn in ours]),
        Figure("  added", "ms", added(lambda turn: turn.thinking), Bar("≤", 1)),
        Figure("first token, one request at a time, bare", "ms", [turn.alone for turn in bare]),
        Figure("  with the gate", "ms", [turn.alone for turn in ours]),
        Figure("  added", "ms", added(lambda turn: turn.alone), Bar("≤", 1)),
        Figure(
            "requests that failed or were cut short",
            "",
            [sum(turn.failures for turn in (*bare, *ours))],
            Bar("≤", 0),
        ),
    ]


async def _round(
    session: aiohttp.ClientSession, urls: Sequence[str], plan: Plan, number: int
) -> tuple[Turn, Turn]:
    """One turn of each. Who comes first changes from round to round, so that what drifts falls on both."""

    def streams(tokens: int, seed: int, spread: int = 0, think: float = 0) -> list[Streams]:
        size = plan.shape["vocab_size"]
        return [Streams(session, url, size, tokens, spread=spread, think=think, seed=seed) for url in urls]

    at_once = streams(plan.tokens, number, plan.spread)
    thinking = streams(plan.tokens, 2000 + number, plan.spread, plan.think)
    ones = streams(1, 1000 + number)
    order = (0, 1) if number % 2 == 0 else (1, 0)
    loaded = await _load(at_once, order, plan)
    thoughtful = await _load(thinking, order, plan)
    alone = await _in_turn(ones, plan.seconds)
    bare, ours = (
        Turn(
            rate(at_once[place].requests, loaded[place]),
            _first_token(at_once[place].requests, loaded[place]),
            _first_token(thinking[place].requests, thoughtful[place]),
            _first_token(ones[place].requests, alone),
            failures([*at_once[place].requests, *thinking[place].requests, *ones[place].requests]),
        )
        for place in (0, 1)
    )
    return bare, ours


async def _load(many: Sequence[Streams], order: Sequence[int], plan: Plan) -> dict[int, Window]:
    """Load one after the other, in this order. Returns when each was measured."""
    windows: dict[int, Window] = {}
    for place in order:
        async with many[place].flowing(plan.streams):
            await asyncio.sleep(plan.settle)
            begin = time.monotonic()
            await asyncio.sleep(plan.seconds)
            windows[place] = Window(begin, time.monotonic())
    return windows


async def _in_turn(ones: Sequence[Streams], seconds: float) -> Window:
    """The same request to each, one after another, again and again."""
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        for one in ones:
            await one.ask()
        ones = ones[::-1]
    return Window(begin, time.monotonic())


def _first_token(requests: Sequence[Request], window: Window) -> float:
    """The median in milliseconds. Raises RuntimeError where none came."""
    found = first_tokens(requests, window)
    if not found:
        said = next((each.failure for each in requests if each.failure), "")
        raise RuntimeError(
            f"no answer began while it was measured ({said}); use fewer streams or more seconds"
        )
    return 1000 * median(found)


@asynccontextmanager
async def _both(
    session: aiohttp.ClientSession, plan: Plan, model: Path, directory: Path
) -> AsyncIterator[tuple[str, str]]:
    """Where completions are asked of bare vLLM, and of a pod around it.

    One starts after the other and finds what that has compiled: two that compile choose kernels each for
    itself, by how fast they ran just then. vLLM looks for it by the model's path, which is therefore one.
    """
    gate = GateSettings(link="", key="", version="", max_concurrent=_AT_A_TIME, max_queued=_AT_A_TIME)
    environment = engine_environment(os.environ, gate, directory, plan.flags)
    clients, servers = share(os.sched_getaffinity(0))
    with _running_on(servers):
        pod = await start_pod(
            directory,
            model,
            module=plan.module,
            flags=plan.flags,
            environment={"PYTHONPATH": os.environ["PYTHONPATH"]},
            options={"max-concurrent": _AT_A_TIME, "max-queued": _AT_A_TIME},
        )
        try:
            await pod.until("Serving", START_SECONDS)
            snapshot = directory / "models" / "snapshots" / DIGEST[7:]
            async with server(session, snapshot, plan.flags, environment, plan.module) as bare:
                with _running_on(clients):
                    yield f"{bare}/v1/completions", f"{pod.serving}/v1/completions"
        finally:
            await pod.close()


def share(processors: Collection[int]) -> tuple[set[int], set[int]]:
    """A quarter of the processors for the clients, and the others for the servers; all for both of few."""
    every = sorted(processors)
    count = len(every) // 4
    return set(every[:count] or every), set(every[count:])


@contextmanager
def _running_on(processors: set[int]) -> Iterator[None]:
    """In the block this thread, and the processes that it starts there for as long as they live."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gate.cost", description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS, help="where two models lie or are made")
    parser.add_argument("--streams", type=int, default=32, help="clients at once")
    parser.add_argument("--rounds", type=int, default=20, help="in each of which both are asked")
    parser.add_argument("--seconds", type=float, default=3, help="that each figure is measured in a round")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the measurement itself")
    parser.add_argument("--module", default=MODULE, help=argparse.SUPPRESS)
    parser.add_argument("flags", nargs="*", metavar="-- FLAGS", help="more of vLLM's, for both")
    add_output(parser)
    options = parser.parse_args()
    shape = TINY if options.tiny else EIGHT_BILLION
    flags = (*_FLAGS, *options.flags)
    plan = Plan(shape, options.module, flags, options.streams, options.rounds, options.seconds)
    models = write_checkpoints(options.models, shape)
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as directory:
        show(asyncio.run(measure(plan, models["a"], Path(directory))), options.output)


if __name__ == "__main__":
    main()
