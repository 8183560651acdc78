"""What the processes of a stuck engine say of themselves: the kernel of each, and each of its own threads.

There is nothing of users in it: names of files and functions, and numbers.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sluicegate_engine.process import STOPPED, process_state
from sluicegate_engine.stacks import SIGNAL

LINE_BYTES = 15 << 10
"""Container runtimes break lines of 16 KiB, and put words of their own before each."""
ANSWER_SECONDS = 1.0
_POLL_SECONDS = 0.1
_READ_BYTES = 256 << 10
_FRAMES = 30
_NAME_LENGTH = 120
_THREAD = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):$")
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$')
_LIBRARIES = re.compile(r"^.*/(?:site-packages|python3\.\d+)/")

Frames = tuple[str, ...]
"""Of a thread, the innermost first: "vllm/v1/engine/core.py:1012 run_busy_loop"."""


@dataclass(frozen=True)
class Witness:
    """One process. `threads` begin with the main one; where there are none, `silence` says why."""

    process: str
    pid: int
    state: str
    threads: tuple[Frames, ...] = ()
    silence: str = ""

    def __str__(self) -> str:
        where = next((f", at {frames[0]}" for frames in self.threads if frames), f" and {self.silence}")
        return f"{self.process} (pid {self.pid}) {self.state}{where}"

    def line(self) -> bytes:
        """JSON for the log, of at most LINE_BYTES: threads that find no room are counted."""
        told: dict[str, object] = {"event": "stack", "process": self.process, "pid": self.pid}
        told |= {"state": self.state} | ({"silence": self.silence} if self.silence else {})
        for count in range(len(self.threads), -1, -1):
            left_out = len(self.threads) - count
            more = {"threadsLeftOut": left_out} if left_out else {}
            line = json.dumps({**told, "threads": self.threads[:count], **more}).encode() + b"\n"
            if len(line) <= LINE_BYTES:
                break
        return line


async def ask(folder: Path, processes: Mapping[int, str]) -> list[Witness]:
    """Ask them all at once, titles by pid, and wait ANSWER_SECONDS at most. `folder` is that of stacks."""
    states = {pid: process_state(pid) for pid in processes}
    silent = {pid: silence for pid in processes if (silence := _silence(folder, pid, states[pid]))}
    asked = [pid for pid in processes if pid not in silent]
    for pid in asked:
        with suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
    await _until_answered(folder, asked)
    silent |= {
        pid: f"did not say where within {ANSWER_SECONDS:g} s" for pid in asked if not _size(folder, pid)
    }
    return [
        Witness(title, pid, states[pid], silence=silent[pid])
        if pid in silent
        else Witness(title, pid, states[pid], parse(_text(folder, pid)))
        for pid, title in processes.items()
    ]


def _silence(folder: Path, pid: int, state: str) -> str:
    """Why there is no use in asking this one, "" where there is."""
    if state in STOPPED:
        return "cannot say where"
    # To whoever has not registered, the signal means its end.
    return "" if (folder / str(pid)).exists() else "was not made to say where"


async def _until_answered(folder: Path, pids: Collection[int]) -> None:
    """An answer is whole when it has stopped to grow."""
    before: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                sizes = [_size(folder, pid) for pid in pids]
                if all(sizes) and sizes == before:
                    return
                before = sizes
                await asyncio.sleep(_POLL_SECONDS)


def _size(folder: Path, pid: int) -> int:
    return (folder / str(pid)).stat().st_size


def _text(folder: Path, pid: int) -> str:
    with (folder / str(pid)).open("rb") as stream:
        return stream.read(_READ_BYTES).decode(errors="replace")


def parse(text: str) -> tuple[Frames, ...]:
    """The threads in what faulthandler writes, the youngest first; a signal is taken by the main one."""
    current: list[Frames] = []
    others: list[Frames] = []
    for block in text.split("\n\n"):
        head, *lines = block.strip("\n").split("\n")
        if not (found := _THREAD.match(head)):
            continue
        frames = tuple(_frame(*each.groups()) for line in lines if (each := _FRAME.match(line)))
        (current if found[1] == "Current thread" else others).append(frames[:_FRAMES])
    return (*current, *reversed(others))


def _frame(file: str, line: str, function: str) -> str:
    return f"{_LIBRARIES.sub('', file)[-_NAME_LENGTH:]}:{line} {function[:_NAME_LENGTH]}"
