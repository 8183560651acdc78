"""vLLM's processes: the server we start and the engine core and ranks that it starts.

vLLM itself notices a dead rank only after 4 to 12 seconds, with /health at 200 meanwhile. The kernel tells at
once through a pidfd, so every process is watched that way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sluicegate_engine.outlet import Outlet
from sluicegate_engine.reaper import Reaper

_WORKER_TITLE = b"VLLM::"
_CHUNK_BYTES = 1 << 16
_LONGEST_LINE = 8192
_STATES = {
    "R": "runs",
    "S": "sleeps",
    "D": "waits in the kernel, for a device or a disk",
    "T": "is stopped by a signal",
    "t": "is stopped by a debugger",
}
STOPPED = frozenset({_STATES["T"], _STATES["t"]})


@dataclass(frozen=True)
class Death:
    """A process of the engine has ended. `status` as in subprocess, None where only its parent learns it."""

    title: str
    pid: int
    status: int | None

    def __str__(self) -> str:
        if self.status is None:
            how = "ended"
        elif self.status >= 0:
            how = f"exited with code {self.status}"
        else:
            how = f"was killed by {signal.Signals(-self.status).name}"
            if -self.status == signal.SIGKILL:
                how += " (of no doing of ours: most often the kernel's, out of memory)"
        return f"{self.title} (pid {self.pid}) {how}"


class Engine:
    """The running vLLM. `died` is done at the first death of any of its processes."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        reaper: Reaper,
        keep: Callable[[str], None],
        inherit: Sequence[int] = (),
    ) -> None:
        loop = asyncio.get_running_loop()
        output, inlet = os.pipe()
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=inlet,
            stderr=inlet,
            # A session of its own: signals meant for us do not reach it past us, and it can be killed whole.
            start_new_session=True,
            pass_fds=inherit,
        )
        os.close(inlet)
        self.pid = process.pid
        self.died: asyncio.Future[Death] = loop.create_future()
        self._watched: dict[int, int] = {}
        self._titles: dict[int, str] = {}
        self._ended = reaper.adopt(self.pid)
        self._ended.add_done_callback(self._server_ended)
        self._process = process
        self._log = asyncio.create_task(_pump(output, keep))

    def watch_workers(self) -> None:
        """Watch the engine core and the ranks that have appeared since the last call."""
        for pid in _members(self.pid):
            if not (title := _worker_title(pid)):
                continue
            # A rank takes its number into its title only after a while.
            self._titles[pid] = title
            if pid not in self._watched:
                self._watch(pid)

    def _watch(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            self._watched[pid] = descriptor
            asyncio.get_running_loop().add_reader(descriptor, self._worker_ended, pid)

    def processes(self) -> dict[int, str]:
        """Titles by pid: the server, and those that are watched."""
        return {self.pid: "vLLM", **{pid: self._titles[pid] for pid in self._watched}}

    async def stop(self, patience_seconds: float) -> None:
        """Ask vLLM to end, and kill what has not ended in time."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), patience_seconds)
        await self.kill()

    async def kill(self) -> None:
        """Kill every process of the engine at once, and take in the last lines of its log."""
        for pid in _members(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.wait((self._ended, self._log), timeout=1)
        for descriptor in self._watched.values():
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._watched.clear()

    async def ended(self, patience_seconds: float) -> None:
        """Wait for vLLM's server to end by itself, at most this long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), patience_seconds)

    def _server_ended(self, end: asyncio.Future[int]) -> None:
        # The reaper took the status that Popen would wait for.
        self._process.returncode = end.result()
        self._note(Death("vLLM", self.pid, end.result()))

    def _worker_ended(self, pid: int) -> None:
        descriptor = self._watched.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._note(Death(self._titles[pid], pid, None))

    def _note(self, death: Death) -> None:
        if not self.died.done():
            self.died.set_result(death)


def _members(session: int) -> list[int]:
    """The pids of the processes of this session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, its_session = _stat(int(entry.name))[:4]
                if int(its_session) == session and state not in (b"Z", b"X"):
                    found.append(int(entry.name))
    return found


def _worker_title(pid: int) -> str:
    """What vLLM calls this process, "VLLM::Worker_TP1" for one; empty for helpers, which come and go.

    A helper has its parent's title until it runs a program of its own.
    """
    with suppress(OSError):
        title = _title(pid)
        if title.startswith(_WORKER_TITLE) and title != _title(int(_stat(pid)[1])):
            return title.decode(errors="replace")
    return ""


def _title(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].strip()


def process_state(pid: int) -> str:
    """What the kernel says that it does."""
    try:
        letter = _stat(pid)[0].decode()
    except OSError:
        return "is gone"
    return _STATES.get(letter, f"is in state {letter}")


def _stat(pid: int) -> list[bytes]:
    """State, parent, process group, session, and more."""
    # The command's name, in parentheses, may contain anything: count from its end.
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


async def _pump(descriptor: int, keep: Callable[[str], None]) -> None:
    """Pass the engine's output on to ours, and its lines to `keep`."""
    outlet, reader = Outlet(1), asyncio.StreamReader()
    with os.fdopen(descriptor, "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        rest = b""
        while chunk := await reader.read(_CHUNK_BYTES):
            outlet.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_LONGEST_LINE]
            for line in lines:
                keep(line.decode(errors="replace"))
        transport.close()
