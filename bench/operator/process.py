"""The operator as a process of its own, as it is in a pod: started, watched through its log, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.operator.tail import Tail
from sluicegate.core.observed import Defaults
from sluicegate.settings import DEFAULT_NAMESPACE

DEFAULTS = Defaults(
    cuda_image="registry.example/engine-cuda:1",
    cpu_image="registry.example/engine-cpu:1",
    store_image="registry.example/sluicegate:1",
    operator_namespace=DEFAULT_NAMESPACE,
    token_key=b"any key of thirty-two characters",
)
"""The settings of the operator, but for its key, which it makes itself."""

LIMIT_SECONDS = 900.0
QUIET_SECONDS = 2.0
LOOK_SECONDS = 0.1


@dataclass
class OperatorProcess:
    """A running operator. `passes` counts the passes over each key since the last `forget_passes`."""

    started: float
    _process: asyncio.subprocess.Process
    _url: str
    _log: Path
    passes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tail = Tail(self._log)

    def forget_passes(self) -> None:
        self._look()
        self.passes = {}

    async def passed(self, keys: Collection[str]) -> None:
        """Returns once each of the keys has had a pass. Raises RuntimeError with the log's end."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self.passes.keys() >= set(keys):
            self._check(deadline)
            await asyncio.sleep(LOOK_SECONDS)
            self._look()

    async def quiet(self) -> None:
        """Returns after some seconds without a pass."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            self._look()
            total = sum(self.passes.values())
            if total != last:
                last, since = total, time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)

    async def ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            deadline = time.monotonic() + LIMIT_SECONDS
            while not await _answers(session, f"{self._url}/readyz"):
                self._check(deadline)
                await asyncio.sleep(LOOK_SECONDS)

    def megabytes(self, field: str) -> float:
        """A field of /proc/<pid>/status, such as VmRSS (now) or VmHWM (its peak), in units of 10^6 bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        if found is None:
            raise ValueError(f"/proc/{self._process.pid}/status has no {field}")
        return int(found[1]) * 1024 / 1e6

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    def _look(self) -> None:
        for line in self._tail.lines():
            entry = json.loads(line)
            if entry.get("message") == "reconciled" and entry["result"] in ("success", "requeue_after"):
                self.passes[entry["key"]] = self.passes.get(entry["key"], 0) + 1

    def _check(self, deadline: float) -> None:
        if self._process.returncode is not None or time.monotonic() > deadline:
            ended = self._process.returncode is not None
            what = f"ended with code {self._process.returncode}" if ended else "does not get there"
            raise RuntimeError(f"the operator {what}:\n{self._log.read_text()[-3000:]}")


@asynccontextmanager
async def operator(
    kubeconfig: Path, folder: Path, resync_seconds: int = 600
) -> AsyncIterator[OperatorProcess]:
    """`sluicegate run` on the cluster of a kubeconfig, until the end of the block; its log is in `folder`."""
    port, log = _free_port(), folder / f"operator-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "sluicegate", "run", "--http-port", str(port)]
    started = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", *command, "--resync-seconds", str(resync_seconds)),
            env={**os.environ, "KUBECONFIG": str(kubeconfig), **_settings()},
            stderr=output,
        )
    running = OperatorProcess(started, process, f"http://127.0.0.1:{port}", log)
    try:
        yield running
    finally:
        await running.stop()


def _settings() -> dict[str, str]:
    return {
        "POD_NAMESPACE": DEFAULTS.operator_namespace,
        "SLUICEGATE_ENGINE_IMAGE_CUDA": DEFAULTS.cuda_image,
        "SLUICEGATE_ENGINE_IMAGE_CPU": DEFAULTS.cpu_image,
        "SLUICEGATE_STORE_IMAGE": DEFAULTS.store_image,
    }


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])
