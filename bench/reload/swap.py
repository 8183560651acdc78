"""Changes the model of a pod under load, back and forth, on one GPU: what takes how long, and what fails.

The pod is what runs in a cluster: our supervisor, its gate inside vLLM's server, and its worker extension,
watched by bench.reload.extension. The two models have the shape of an 8B Llama and random weights; --models
had best be a folder in memory. Run where vLLM is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from tests.engine.pod import Pod, free_ports, start_pod

from bench.operator.figures import Bar, Figure, add_output, show
from bench.reload import report
from bench.reload.checkpoints import EIGHT_BILLION, MODELS, TINY, write_checkpoints
from bench.reload.driver import DIGESTS, FLAGS, MODULE, ORDERS, START_SECONDS, VARIABLE, Bench, Plan
from bench.reload.streams import Answer, Window, longest_gap, longest_wait

_BEFORE_SECONDS = 10


async def measure(plan: Plan, models: dict[str, Path], directory: Path) -> list[Figure]:
    machine = _machine(models["a"])
    began = time.monotonic()
    async with serving(plan, models, directory) as bench:
        started = Figure("start of a pod, to ready", "s", [time.monotonic() - began])
        return [*await _figures(plan, bench, machine), started]


@asynccontextmanager
async def serving(plan: Plan, models: dict[str, Path], directory: Path) -> AsyncIterator[Bench]:
    """A pod that serves the first of the models and can be told to change to the second."""
    watched = directory / "watched"
    watched.mkdir(parents=True)
    (watched / ORDERS).write_text(json.dumps({"near": False, "fail": False}))
    async with _store() as store:
        pod = await _start(plan, models, directory, store)
        try:
            await pod.until("Serving", START_SECONDS)
            yield Bench(plan, pod, watched, models)
        finally:
            await pod.close()


async def _figures(plan: Plan, bench: Bench, machine: report.Machine) -> list[Figure]:
    first = await bench.answers()
    async with bench.streams.flowing(plan.streams):
        begin = time.monotonic()
        before = await bench.undisturbed(_BEFORE_SECONDS)
        taking = [await bench.stage(near=False)]
        pinned, staging = await _swaps(bench, plan.pinned, near=False)
        failed = [await bench.fail(near=False) for _ in range(plan.failures)]
        taking_near = [await bench.stage(near=True)] if plan.near else []
        near, staging_near = await _swaps(bench, plan.near, near=True)
        failed_near = [await bench.fail(near=True) for _ in range(plan.failures)] if plan.near else []
        whole = Window(begin, time.monotonic())
    again, other = await _last_answers(bench)
    requests = bench.streams.requests
    (alone,) = report.observe(requests, [before])
    stagings = {
        "first, taking host memory": taking,
        "in host memory": staging,
        "first, taking GPU memory": taking_near,
        "to the GPU's memory": staging_near,
    }
    return [
        *report.machine_figures(machine),
        Figure("tokens a second, undisturbed", "", [alone.rate]),
        *report.switch_figures("from page-locked memory", pinned, report.PINNED_SECONDS),
        report.copy_figure(machine, pinned),
        *(report.switch_figures("from the GPU's memory", near, report.NEAR_SECONDS) if near else ()),
        *(report.rollback_figures("from page-locked memory", failed) if failed else ()),
        *(report.rollback_figures("from the GPU's memory", failed_near) if failed_near else ()),
        *(
            figure
            for name, windows in stagings.items()
            if windows
            for figure in report.staging_figures(name, report.observe(requests, windows), alone.rate)
        ),
        Figure(
            "longest gap between two tokens of an answer", "s", [longest_gap(requests, whole)], Bar("≤", 0.3)
        ),
        Figure("longest wait for a first token", "s", [longest_wait(requests, whole)]),
        Figure("changes of the model", "", [len(pinned) + len(near)], Bar("≥", 20)),
        Figure("requests meanwhile", "", [len(requests)]),
        Figure("  that failed or were cut short", "", [report.failures(requests)], Bar("≤", 0)),
        Figure(
            "answers unlike those of the fresh start, with that model back",
            "",
            [report.differences(first, again)],
            Bar("≤", 0),
        ),
        Figure(
            "answers in which the two models agree", "", [8 - report.differences(first, other)], Bar("≤", 0)
        ),
    ]


async def _last_answers(bench: Bench) -> tuple[list[Answer], list[Answer]]:
    """What the two models answer, the first one and then the second, which serves afterwards."""
    found = []
    for name in DIGESTS:
        if bench.serving != name:
            await bench.stage(near=False)
            await bench.switch(near=False)
        found.append(await bench.answers())
    return found[0], found[1]


async def _swaps(bench: Bench, count: int, *, near: bool) -> tuple[list[report.Parts], list[Window]]:
    """The first one is staged already."""
    parts, windows = [], []
    for number in range(count):
        if number:
            windows.append(await bench.stage(near=near))
        parts.append(await bench.switch(near=near))
    return parts, windows


def _machine(model: Path) -> report.Machine:
    command = [sys.executable, "-m", "bench.reload.bandwidth"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    return report.Machine(told["up"], told["down"], weights)


async def _start(plan: Plan, models: dict[str, Path], directory: Path, store: str) -> Pod:
    pod = await start_pod(
        directory,
        models["a"],
        module=MODULE,
        flags=plan.flags,
        environment={"PYTHONPATH": os.environ["PYTHONPATH"], VARIABLE: str(directory / "watched")},
        options={
            "max-concurrent": 64,
            "max-queued": 64,
            "store-url": store,
            "worker-extension": plan.extension,
        },
    )
    (directory / "models" / "snapshots" / DIGESTS["b"][7:]).symlink_to(models["b"])
    return pod


@asynccontextmanager
async def _store() -> AsyncIterator[str]:
    """A store that has every model already."""

    async def ingest(_: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    application = web.Application()
    application.router.add_post("/ingest", ingest)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reload.swap", description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the two lie, 16 GB each")
    parser.add_argument("--streams", type=int, default=Plan.streams)
    parser.add_argument("--swaps", type=int, default=Plan.pinned, help="from page-locked memory")
    parser.add_argument("--near", type=int, default=Plan.near, help="swaps from the GPU's memory")
    parser.add_argument("--failures", type=int, default=Plan.failures, help="of each kind")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the measurement itself")
    parser.add_argument("flags", nargs="*", metavar="-- FLAGS", help="more of vLLM's")
    add_output(parser)
    options = parser.parse_args()
    plan = Plan(
        shape=TINY if options.tiny else EIGHT_BILLION,
        flags=(*FLAGS, *options.flags),
        streams=options.streams,
        pinned=options.swaps,
        near=options.near,
        failures=options.failures,
    )
    models = write_checkpoints(options.models, plan.shape)
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as directory:
        found = asyncio.run(measure(plan, models, Path(directory)))
    show(found, options.output)


if __name__ == "__main__":
    main()
