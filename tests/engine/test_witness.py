"""What processes say of themselves when they are asked: real ones, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest
from tests.engine.pod import ROOT, is_running

from sluicegate_engine import stacks
from sluicegate_engine.witness import ANSWER_SECONDS, LINE_BYTES, Witness, ask, parse

Start = Callable[[str], int]
REGISTERED = "from sluicegate_engine.stacks import register\nregister()\nprint('there', flush=True)\n"
WAIT = "import time\ndef wait():\n    time.sleep(600)\n"
# PyDLL keeps the interpreter to itself, so that no Python code runs in any thread.
NATIVE = "import ctypes\nclib = ctypes.PyDLL(None)\ndef native():\n    while True: clib.sleep(600)\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def begin(program: str) -> int:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime"), stacks.VARIABLE: str(tmp_path)}
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
        processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        # Past the line that it has written, and where it is to be found.
        time.sleep(0.3)
        return process.pid

    yield begin
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


async def test_a_process_says_where_its_threads_are_the_main_one_first(start: Start, tmp_path: Path) -> None:
    threads = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    pid = start(f"{WAIT}{threads}{REGISTERED}wait()")
    (told,) = await ask(tmp_path, {pid: "VLLM::EngineCore"})
    assert told.threads[0] == ("<string>:3 wait", "<string>:9 <module>")
    assert "threading.py" in told.threads[1][0]
    assert str(told) == f"VLLM::EngineCore (pid {pid}) sleeps, at <string>:3 wait"


async def test_native_code_that_keeps_the_interpreter_keeps_nobody_from_answering(
    start: Start, tmp_path: Path
) -> None:
    pid = start(f"{NATIVE}{REGISTERED}native()")
    (told,) = await ask(tmp_path, {pid: "rank"})
    assert told.threads[0][0] == "<string>:4 native"


async def test_what_is_forked_answers_for_itself(start: Start, tmp_path: Path) -> None:
    parent = start(f"{WAIT}{REGISTERED.replace('print', 'import os; os.fork(); print')}wait()")
    (child,) = {int(name) for name in os.listdir(tmp_path)} - {parent}
    told = await ask(tmp_path, {parent: "server", child: "engine core"})
    assert [each.threads[0][0] for each in told] == ["<string>:3 wait"] * 2


async def test_who_cannot_say_is_named_and_not_waited_for(start: Start, tmp_path: Path) -> None:
    stopped, deaf, mute = (
        start(f"{WAIT}{REGISTERED}wait()"),
        start(f"{WAIT}print('there', flush=True)\nwait()"),
        start(f"{WAIT}{REGISTERED}import signal; signal.pthread_sigmask(0, [{stacks.SIGNAL:d}])\nwait()"),
    )
    stop(stopped)
    async with asyncio.timeout(10 * ANSWER_SECONDS):
        told = await ask(tmp_path, {stopped: "A", deaf: "B", mute: "C"})
    assert [str(each) for each in told] == [
        f"A (pid {stopped}) is stopped by a signal and cannot say where",
        f"B (pid {deaf}) sleeps and was not made to say where",
        f"C (pid {mute}) sleeps and did not say where within 1 s",
    ]
    assert is_running(deaf)
    assert json.loads(told[0].line()) == {
        "event": "stack",
        "process": "A",
        "pid": stopped,
        "state": "is stopped by a signal",
        "silence": "cannot say where",
        "threads": [],
    }


def test_a_line_is_bounded_and_says_how_many_threads_it_leaves_out() -> None:
    frames = tuple(f"vllm/somewhere/deep/down.py:{n} function" for n in range(30))
    line = Witness("VLLM::Worker_TP0", 7, "runs", (frames,) * 100).line()
    told = json.loads(line)
    assert LINE_BYTES * 0.8 < len(line) <= LINE_BYTES
    assert len(told["threads"]) + told["threadsLeftOut"] == 100


def test_files_are_named_as_they_lie_in_their_library() -> None:
    text = (
        "Thread 0x00007f01 [ThreadPool] (most recent call first):\n"
        '  File "/usr/lib/python3.11/queue.py", line 171 in get\n'
        "  ...\n\n"
        "Current thread 0x00007f02 (most recent call first):\n"
        '  File "/opt/venv/lib/python3.11/site-packages/vllm/v1/engine/core.py", line 1012 in run_busy_loop\n'
        "  <no Python frame>\n"
    )
    assert parse(text) == (("vllm/v1/engine/core.py:1012 run_busy_loop",), ("queue.py:171 get",))
    assert parse("") == ()


def test_vllm_finds_it_among_its_plugins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (plugin,) = project["entry-points"]["vllm.general_plugins"].values()
    assert resolve_name(plugin) is stacks.register
