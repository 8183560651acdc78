"""Engines that live and do nothing, and those that only look so: real processes around a stand-in of vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ServerDisconnectedError
from tests.engine.fake_vllm import PREFILL
from tests.engine.pod import Pod, is_running, start_pod

Start = Callable[..., Awaitable[Pod]]
SERVER = "tests.engine.fake_vllm"
CORE = "VLLM::EngineCore"
DOUBT, STUCK = 0.6, 1.5
LONG = 3 * STUCK


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    pods: list[Pod] = []

    async def begin(**options: float) -> Pod:
        options = {"doubt_seconds": DOUBT, "stuck_seconds": STUCK, "first_answer_seconds": STUCK, **options}
        pods.append(await start_pod(tmp_path, tmp_path, module=SERVER, options=options))
        await pods[-1].until("Serving")
        return pods[-1]

    yield begin
    for pod in pods:
        await pod.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("victim", [SERVER, CORE], ids=["server", "engine core"])
async def test_a_stopped_process_turns_not_ready_in_time_and_ends_the_container(
    start: Start, victim: str, busy: bool
) -> None:
    pod = await start()
    stream = await pod.complete(tokens=3000, stream=True) if busy else None
    pids = [pod.engine_pid(title) for title in (SERVER, CORE)]
    # when
    os.kill(pod.engine_pid(victim), signal.SIGSTOP)
    stopped = time.monotonic()
    await pod.until("EngineStuck", seconds=20)
    # then
    assert time.monotonic() - stopped > STUCK * 0.8
    ready = await pod.ready()
    assert ready is not None
    assert ready["ready"] is False
    assert await pod.exit_code() == 1
    assert not any(is_running(pid) for pid in pids)
    error = pod.statement["error"]
    assert error["reason"] == "EngineStuck"
    assert f"with {int(busy)} requests in flight and one of our own;" in error["message"]
    name = "vLLM" if victim == SERVER else CORE
    assert (
        f"{name} (pid {pids[victim == CORE]}) is stopped by a signal and cannot say where" in error["message"]
    )
    if stream is not None:
        stream.close()


async def test_a_deadlocked_engine_says_where_each_of_its_threads_is(start: Start) -> None:
    pod = await start()
    core = pod.engine_pid(CORE)
    waiting = asyncio.create_task(pod.complete("deadlock"))
    await pod.until("EngineStuck", seconds=20)
    assert await pod.exit_code() == 1
    # the gist is in the termination message, all of it in the log
    assert f"{CORE} (pid {core}) sleeps, at <string>:4 <module>" in pod.statement["error"]["message"]
    lines = [json.loads(line) for line in pod.log.splitlines() if line.startswith('{"event": "stack"')]
    assert [line["process"] for line in lines] == ["vLLM", CORE]
    assert lines[1] == {
        "event": "stack",
        "process": CORE,
        "pid": core,
        "state": "sleeps",
        "threads": [["<string>:4 <module>"]],
    }
    assert any("fake_vllm.py" in frame for frame in lines[0]["threads"][0])
    with pytest.raises(ServerDisconnectedError):
        await waiting


async def test_a_saturated_engine_whose_answers_only_come_whole_is_left_alone(start: Start) -> None:
    # given as many requests as the engine and the queue hold, none with a part of an answer for long
    pod = await start(doubt_seconds=STUCK * 0.99)
    tokens = int(LONG / 0.01)
    calls = [asyncio.create_task(pod.complete(tokens=tokens)) for _ in range(2)]
    await pod.until_status(inFlight=2)
    waiting = [asyncio.create_task(pod.complete(tokens=1)) for _ in range(2)]
    await pod.until_status(inFlight=2, queued=2)
    assert (await pod.complete(tokens=1)).status == 429
    # then all are served
    assert [(await call).status for call in (*calls, *waiting)] == [200] * 4
    assert (await pod.status())["ready"]


async def test_a_long_prefill_is_left_alone(start: Start) -> None:
    pod = await start(doubt_seconds=STUCK * 0.99)
    answer = await pod.complete(f"{PREFILL}{int(LONG / 0.01)}", tokens=1)
    assert answer.status == 200
    assert (await pod.status())["ready"]


async def test_an_idle_engine_is_asked_for_a_token_and_left_alone(start: Start) -> None:
    pod = await start()
    before = await generated(pod)
    await asyncio.sleep(LONG)
    assert (await pod.status())["ready"]
    asked = await generated(pod) - before
    assert 1 <= asked <= LONG / DOUBT
    assert (await pod.status())["measured"] == {}


async def test_an_engine_that_goes_on_in_time_is_left_alone(start: Start) -> None:
    pod = await start(stuck_seconds=4)
    assert (await pod.complete(tokens=1)).status == 200
    core = pod.engine_pid(CORE)
    stream = await pod.complete(tokens=100, stream=True)
    os.kill(core, signal.SIGSTOP)
    await asyncio.sleep(1.5)
    os.kill(core, signal.SIGCONT)
    assert (await stream.text()).count('"text":"a"') == 100
    assert (await pod.status())["ready"]


async def test_the_first_request_has_time_for_what_the_engine_compiles(start: Start) -> None:
    pod = await start(first_answer_seconds=60)
    core = pod.engine_pid(CORE)
    os.kill(core, signal.SIGSTOP)
    first = asyncio.create_task(pod.complete(tokens=1))
    await asyncio.sleep(LONG)
    assert (await pod.status())["ready"]
    os.kill(core, signal.SIGCONT)
    assert (await first).status == 200
    # and once it is answered, no longer
    os.kill(core, signal.SIGSTOP)
    await pod.until("EngineStuck", seconds=20)


async def test_a_pod_that_drains_is_left_its_time(start: Start) -> None:
    pod = await start(drain_seconds=LONG, linger_seconds=0)
    stream = await pod.complete(tokens=3000, stream=True)
    os.kill(pod.engine_pid(CORE), signal.SIGSTOP)
    pod.signal(signal.SIGTERM)
    assert await pod.exit_code(seconds=LONG + 15) == 0
    assert "error" not in pod.statement
    stream.close()


async def test_a_supervisor_that_stood_still_itself_does_not_blame_the_engine(start: Start) -> None:
    pod = await start()
    pod.signal(signal.SIGSTOP)
    await asyncio.sleep(LONG)
    pod.signal(signal.SIGCONT)
    await asyncio.sleep(STUCK)
    assert (await pod.status())["ready"]


async def generated(pod: Pod) -> float:
    _, page = await pod.get(f"{pod.probe}/metrics")
    return float(page.partition("\nvllm:generation_tokens_total ")[2].partition("\n")[0])
