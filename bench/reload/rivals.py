"""What there is without us, on the same machine: vLLM's own reload of weights, and a new server.

vLLM reloads by a route of its development mode, with the scheduler paused around it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tests.engine.pod import free_ports

from bench.operator.figures import Figure, add_output, show
from bench.reload.checkpoints import EIGHT_BILLION, MODELS, TINY, write_checkpoints
from bench.reload.driver import FLAGS, MODULE, START_SECONDS

_ROUNDS = 4


async def measure(model: Path) -> list[Figure]:
    began = time.monotonic()
    environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1"}
    async with aiohttp.ClientSession() as session, server(session, model, FLAGS, environment) as url:
        started = time.monotonic() - began
        reloads, pauses = [], []
        for _ in range(_ROUNDS):
            paused = time.monotonic()
            await _post(session, f"{url}/pause?mode=wait")
            reloading = time.monotonic()
            await _post(session, f"{url}/collective_rpc", {"method": "reload_weights"})
            reloads.append(time.monotonic() - reloading)
            await _post(session, f"{url}/resume")
            pauses.append(time.monotonic() - paused)
    return [
        Figure("vLLM's own reload_weights: pause, idle", "s", pauses),
        Figure("  the reload in it", "s", reloads),
        Figure("a new server, to healthy", "s", [started]),
    ]


@asynccontextmanager
async def server(
    session: aiohttp.ClientSession,
    model: Path,
    flags: Sequence[str],
    environment: Mapping[str, str],
    module: str = MODULE,
) -> AsyncIterator[str]:
    """vLLM's own server for the block, and where it is. Raises RuntimeError where it does not come up."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *flags),
        *(f"--model={model}", "--served-model-name=chat", "--host=127.0.0.1", f"--port={port}"),
        env=environment,
        stdout=sys.stderr,
    )
    try:
        await _healthy(session, url, process)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _healthy(session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                async with session.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("vLLM has ended before it was healthy")


async def _post(session: aiohttp.ClientSession, url: str, body: object = None) -> None:
    async with session.post(url, json=body) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{url}: HTTP {answer.status}: {await answer.text()}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reload.rivals", description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the measurement itself")
    add_output(parser)
    options = parser.parse_args()
    shape = TINY if options.tiny else EIGHT_BILLION
    models = write_checkpoints(options.models, shape)
    show(asyncio.run(measure(models["b"])), options.output)


if __name__ == "__main__":
    main()
