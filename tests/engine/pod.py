"""A model pod's engine container on this machine: the supervisor as a process, and its files."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp

from sluicegate_engine.journal import START

DIGEST = "sha256:" + "c" * 64
DRAFT_DIGEST = "sha256:" + "d" * 64
VERSION = "smollm2-v1"
TOKEN = "control-token"
ROOT = Path(__file__).resolve().parents[2]
_NEVER_OUTGOING = range(10_000, 32_000)
"""Below those from which the kernel takes its own."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, and that no outgoing connection is given before a server has them."""
    some = random.SystemRandom().sample(_NEVER_OUTGOING, 100)
    return list(islice(filter(_is_free, some), count))


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def events(text: str) -> list[dict[str, Any]]:
    """The events of a streamed answer, but for the one that says that it is done."""
    return [json.loads(event) for event in re.findall(r"data: (\{.*)", text)]


@dataclass
class Pod:
    """A running supervisor and how to reach it."""

    process: Process
    directory: Path
    http: aiohttp.ClientSession
    serving: str
    probe: str
    control: str

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def statement(self) -> dict[str, Any]:
        """The termination message."""
        found: dict[str, Any] = json.loads((self.directory / "termination-log").read_text())
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def engine_pid(self, title: str) -> int:
        """The pid of the process of this pod's engine that goes by this title or Python module."""
        for pid in self.pids():
            if title in _names(Path(f"/proc/{pid}")):
                return pid
        raise LookupError(f"no process {title}; the log ends: {self.log[-2000:]}")

    def pids(self) -> list[int]:
        """The processes of this pod that have not ended."""
        entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [int(entry.name) for entry in entries if self._belongs(entry)]

    def _belongs(self, entry: Path) -> bool:
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            return False
        return f"POD_DIRECTORY={self.directory}".encode() in environment.split(b"\0")

    async def get(self, url: str, **options: Any) -> tuple[int, str]:
        async with self.http.get(url, **options) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> dict[str, Any] | None:
        """What /ready says; None where nothing listens."""
        try:
            found: dict[str, Any] = json.loads((await self.get(f"{self.probe}/ready"))[1])
        except aiohttp.ClientError:
            return None
        return found

    async def status(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        found: dict[str, Any] = json.loads((await self.get(f"{self.control}/status", headers=headers))[1])
        return found

    async def order(self, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Post to the control port."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.post(f"{self.control}{path}", headers=headers, json=body) as answer:
            return answer.status, await answer.json()

    async def until(self, reason: str, seconds: float = 60) -> None:
        """Wait until /ready gives this reason."""
        deadline = time.monotonic() + seconds
        while True:
            said = await self.ready()
            if said is not None and said["reason"] == reason:
                return
            assert self.process.returncode is None, self.log[-4000:]
            assert time.monotonic() < deadline, f"not {reason}; the log ends: {self.log[-4000:]}"
            await asyncio.sleep(0.02)

    async def until_logged(self, words: str) -> None:
        async with asyncio.timeout(10):
            while True:
                if words in self.log:
                    return
                await asyncio.sleep(0.02)

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The lines of requests in the log that are whole."""
        return [json.loads(line) for line in self.log.split("\n")[:-1] if line.startswith(START)]

    async def until_journal(self, count: int, **wanted: object) -> list[dict[str, Any]]:
        """Wait until the log has so many lines of requests with these values, and return them."""
        async with asyncio.timeout(10):
            while True:
                found = [line for line in self.journal if wanted.items() <= line.items()]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)

    async def until_status(self, **wanted: object) -> None:
        """Wait until the control port's status has these values."""
        async with asyncio.timeout(10):
            while True:
                status = await self.status()
                if wanted.items() <= status.items():
                    return
                await asyncio.sleep(0.01)

    async def until_not_ready(self) -> None:
        """Wait until /ready is anything but 200."""
        async with asyncio.timeout(10):
            while True:
                said = await self.ready()
                if said is None or not said["ready"]:
                    return
                await asyncio.sleep(0.01)

    async def exit_code(self, seconds: float = 10) -> int:
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def until_reload(self, seconds: float = 60, **wanted: object) -> dict[str, Any]:
        """Wait until what /status tells of the reload has these values, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            told: dict[str, Any] = (await self.status())["reload"] or {}
            if wanted.items() <= told.items():
                return told
            assert time.monotonic() < deadline, f"{told}; the log ends: {self.log[-4000:]}"
            await asyncio.sleep(0.01)

    async def complete(
        self, prompt: str | list[int] = "Hello", tokens: int = 5, **more: Any
    ) -> aiohttp.ClientResponse:
        """A completion, its answer's headers being there."""
        request = {"model": "chat", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, **more}
        return await self.http.post(f"{self.serving}/v1/completions", json=request)

    async def close(self) -> None:
        """End everything that belongs to this pod."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()
        await self.http.close()


async def start_pod(
    directory: Path,
    model: Path,
    *,
    module: str,
    flags: Sequence[str] = (),
    draft: Path | None = None,
    environment: dict[str, str] | None = None,
    options: Mapping[str, object] | None = None,
    stdout: int | None = None,
) -> Pod:
    """Start a supervisor around `module`.

    `options` are of its command line, such as {"max_queued": 1}; `stdout` is for the engine's log, which is
    with the supervisor's own otherwise.
    """
    _write_files(directory, model, draft)
    ports = free_ports(3)
    arguments = _arguments(directory, module, ports, options or {})
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sluicegate_engine", "run", *arguments, "--", *flags),
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}",
                "POD_DIRECTORY": str(directory),
                **(environment or {}),
            },
            stdout=log if stdout is None else stdout,
            stderr=log,
        )
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    return Pod(process, directory, aiohttp.ClientSession(), *urls)


def _write_files(directory: Path, model: Path, draft: Path | None) -> None:
    """The store's snapshots, the pointer and the control token."""
    snapshots = directory / "models" / "snapshots"
    snapshots.mkdir(parents=True)
    pointer: dict[str, Any] = {"version": VERSION, "digest": DIGEST}
    (snapshots / DIGEST[7:]).symlink_to(model)
    if draft is not None:
        pointer["draft"] = {"version": "draft", "digest": DRAFT_DIGEST}
        (snapshots / DRAFT_DIGEST[7:]).symlink_to(draft)
    (directory / "pointer.json").write_text(json.dumps(pointer))
    (directory / "token").write_text(TOKEN + "\n")


def _arguments(
    directory: Path, module: str, ports: Sequence[int], options: Mapping[str, object]
) -> list[str]:
    """The supervisor's own flags; `ports` are for serving, probes and control."""
    chosen: dict[str, object] = {
        "pointer": directory / "pointer.json",
        "models": directory / "models",
        "served-model-name": "chat",
        "host": "127.0.0.1",
        **dict(zip(("serving-port", "probe-port", "control-port"), ports, strict=True)),
        "control-token-file": directory / "token",
        "max-concurrent": 2,
        "max-queued": 2,
        "linger-seconds": 0.3,
        "record": directory / "committed.json",
        "quarantine-record": directory / "quarantine.json",
        "termination-log": directory / "termination-log",
        "engine-module": module,
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    return [text for name, value in chosen.items() for text in (f"--{name}", str(value))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _names(entry: Path) -> tuple[str, ...]:
    """A process's title as it set it, and the module that it runs."""
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ()
    return (words[0].strip(), words[2]) if words[1:2] == ["-m"] else (words[0].strip(),)
