"""One pod under load, and what is done to it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.pod import DIGEST, Pod

from bench.operator.tail import Tail
from bench.reload.report import Parts, Rollback
from bench.reload.streams import Answer, Streams, Window, answers, answers_at_once

DIGESTS = {"a": DIGEST, "b": "sha256:" + "b" * 64}
"""Of the two models; a pod begins with the first."""
MODULE = "vllm.entrypoints.openai.api_server"
START_SECONDS = 400
_RELOAD_SECONDS = 120
VARIABLE = "BENCH_RELOAD"
ORDERS = "orders"
EVENTS = "events"
"""What bench.reload.extension is told by, and tells by."""
FLAGS = ("--max-model-len=4096", "--max-num-seqs=64", "--gpu-memory-utilization=0.65", "--dtype=bfloat16")
"""vLLM's."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. `flags` are vLLM's, `extension` the worker's; `near` is from the GPU's memory.

    `rest` is the seconds between two steps, so that the streams are in full flow again.
    """

    shape: dict[str, Any]
    flags: tuple[str, ...] = FLAGS
    extension: str = "bench.reload.extension.WatchedExtension"
    streams: int = 32
    tokens: int = 256
    pinned: int = 20
    near: int = 6
    failures: int = 2
    rest: float = 1.0


class Bench:
    """One pod and the streams that ask it. `step` numbers the reloads."""

    def __init__(self, plan: Plan, pod: Pod, watched: Path, models: dict[str, Path]) -> None:
        self._plan = plan
        self._pod = pod
        self._models = models
        self._watched = watched
        self._events = Tail(watched / EVENTS)
        self.serving = "a"
        self._step = 0
        self.url = f"{pod.serving}/v1/completions"
        self.streams = Streams(pod.http, self.url, plan.shape["vocab_size"], plan.tokens)

    async def undisturbed(self, seconds: float) -> Window:
        """The streams alone."""
        await asyncio.sleep(2 * self._plan.rest)
        begin = time.monotonic()
        await asyncio.sleep(seconds)
        return Window(begin, time.monotonic())

    async def stage(self, *, near: bool) -> Window:
        """Returns when that was: what came of the streams meanwhile is looked at when there are none."""
        self._order(near=near, fail=False)
        begin = time.monotonic()
        await self._reload("Stage", "Staged")
        staging = Window(begin, time.monotonic())
        await asyncio.sleep(self._plan.rest)
        return staging

    async def switch(self, *, near: bool) -> Parts:
        self._order(near=near, fail=False)
        told, events = await self._reload("Switch", "Committed")
        self.serving = self._next
        await asyncio.sleep(self._plan.rest)
        seconds, copy = told["seconds"], events["switch"]
        return Parts(
            drain=seconds["quiescing"],
            gate=seconds["copying"] - copy,
            copy=copy,
            check=events["checksum"],
            pause=seconds["copying"] + seconds["checking"],
            held=sum(seconds[phase] for phase in ("holding", "quiescing", "copying", "checking", "proving")),
        )

    async def fail(self, *, near: bool) -> Rollback:
        """Stage, and let the copy of the last piece fail."""
        await self.stage(near=near)
        self._order(near=near, fail=True)
        told, events = await self._reload("Switch", "RolledBack")
        self._order(near=near, fail=False)
        await asyncio.sleep(self._plan.rest)
        whole = told["seconds"]["copying"] - (events["switch"] - events["restored"])
        return Rollback(events["restored"], whole + told["seconds"]["rollingBack"])

    async def answers(self) -> list[Answer]:
        return await answers(self._pod.http, self.url, self._plan.shape["vocab_size"])

    async def answers_at_once(self) -> list[Answer]:
        return await answers_at_once(self._pod.http, self.url, self._plan.shape["vocab_size"])

    def pids(self) -> list[int]:
        """The pod's processes."""
        return self._pod.pids()

    @property
    def _next(self) -> str:
        return "b" if self.serving == "a" else "a"

    async def _reload(self, mode: str, outcome: str) -> tuple[dict[str, Any], dict[str, float]]:
        """Returns what /status told at the end, and the seconds of the steps in the worker."""
        if mode == "Stage":
            self._step += 1
        self._events.lines()
        order = {
            "version": self._next,
            "digest": DIGESTS[self._next],
            "sequence": self._step,
            "source": {"uri": f"file://{self._models[self._next]}"},
            "mode": mode,
        }
        status, body = await self._pod.order("/reload", order)
        assert status == 202, body
        told = await self._pod.until_reload(
            _RELOAD_SECONDS, mode=mode, phase="Staged" if mode == "Stage" else "Ended"
        )
        assert told["outcome"] == outcome, told
        events: dict[str, float] = {}
        for line in self._events.lines():
            event = json.loads(line)
            if event["name"] == "restore" and event["seconds"] > events.get("restored", 0):
                events["restored"] = event["seconds"]
            events[event["name"]] = event["seconds"]
        print(json.dumps({**told, "events": events}), file=sys.stderr, flush=True)
        return told, events

    def _order(self, **orders: bool) -> None:
        (self._watched / ORDERS).write_text(json.dumps(orders))
