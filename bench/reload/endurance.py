"""Changes the model of a pod a hundred times under load, and looks whether memory is left behind.

A small model, for it is the number of changes that counts. Each is staged in the host's memory and the GPU's.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.operator.figures import Bar, Figure, add_output, show
from bench.reload import report
from bench.reload.checkpoints import MODELS, TINY, write_checkpoints
from bench.reload.driver import Bench, Plan
from bench.reload.swap import serving

_SETTLED = 5
"""Changes after which the pod has taken what it keeps."""
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Memory:
    """Bytes: of the host, what the pod's processes have; of the GPU, what anybody has."""

    host: int
    device: int


async def measure(plan: Plan, models: dict[str, Path], directory: Path, changes: int) -> list[Figure]:
    async with serving(plan, models, directory) as bench:
        first = await bench.answers()
        async with bench.streams.flowing(plan.streams):
            await _change(bench, _SETTLED)
            settled = await _memory(bench)
            await _change(bench, changes - _SETTLED)
            ended = await _memory(bench)
        if bench.serving != "a":
            await _change(bench, 1)
        again = await bench.answers()
        requests = bench.streams.requests
    return [
        Figure("changes of the model", "", [changes], Bar("≥", 100)),
        Figure("requests meanwhile", "", [len(requests)]),
        Figure("  that failed or were cut short", "", [report.failures(requests)], Bar("≤", 0)),
        Figure("host memory after the fifth", "MB", [settled.host / _MEGABYTE]),
        Figure("  more at the end", "MB", [(ended.host - settled.host) / _MEGABYTE], Bar("≤", 50)),
        Figure("GPU memory after the fifth", "MB", [settled.device / _MEGABYTE]),
        Figure("  more at the end", "MB", [(ended.device - settled.device) / _MEGABYTE], Bar("≤", 0)),
        Figure(
            "answers unlike those of the fresh start", "", [report.differences(first, again)], Bar("≤", 0)
        ),
    ]


async def _change(bench: Bench, times: int) -> None:
    for _ in range(times):
        await bench.stage(near=True)
        await bench.switch(near=True)


async def _memory(bench: Bench) -> Memory:
    return Memory(host_bytes(bench.pids()), await asyncio.to_thread(_device_bytes))


def host_bytes(pids: Iterable[int]) -> int:
    """What these processes have of the host's memory; of what several share, each its part."""
    kilobytes = 0
    for pid in pids:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return kilobytes << 10


def _device_bytes() -> int:
    """Asked by a process that ends: it takes some itself, the same every time."""
    asked = "import torch; free, total = torch.cuda.mem_get_info(); print(total - free)"
    return int(subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reload.endurance", description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the two lie")
    parser.add_argument("--changes", type=int, default=100)
    add_output(parser)
    options = parser.parse_args()
    plan = Plan(TINY, streams=8, tokens=64, rest=0)
    models = write_checkpoints(options.models, plan.shape)
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as directory:
        found = asyncio.run(measure(plan, models, Path(directory), options.changes))
    show(found, options.output)


if __name__ == "__main__":
    main()
