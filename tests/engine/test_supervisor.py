"""The supervisor as a process around a stand-in of vLLM: its life, its end and its last words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.engine.contract import CHECKS
from tests.engine.pod import TOKEN, VERSION, Pod, is_running, start_pod

from sluicegate_engine.gate_settings import VERSION_HEADER

Start = Callable[..., Awaitable[Pod]]
SECRET = "my-secret-prompt"


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    pods: list[Pod] = []

    async def begin(misbehaviour: str = "", model: Path = tmp_path, **options: float) -> Pod:
        directory = tmp_path / str(len(pods))
        directory.mkdir()
        pod = await start_pod(
            directory,
            model,
            module="tests.engine.fake_vllm",
            environment={"FAKE_VLLM": misbehaviour},
            options=options,
        )
        pods.append(pod)
        return pod

    yield begin
    for pod in pods:
        await pod.close()


@pytest.fixture
async def serving(start: Start) -> Pod:
    pod = await start()
    await pod.until("Serving")
    return pod


async def test_the_stand_in_keeps_the_contract(serving: Pod) -> None:
    for check in CHECKS:
        await asyncio.wait_for(check(serving), 10)


async def test_sigterm_serves_on_then_refuses_and_lets_streams_finish(start: Start) -> None:
    pod = await start(linger_seconds=2)
    await pod.until("Serving")
    stream = await pod.complete(tokens=150, stream=True)
    pod.signal(signal.SIGTERM)
    await pod.until_not_ready()
    during = await pod.complete(tokens=1)
    assert (during.status, during.headers["connection"]) == (200, "close")
    while (answer := await pod.complete(tokens=1)).status == 200:
        await answer.read()
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.headers[VERSION_HEADER] == VERSION
    text = await stream.text()
    assert text.count('"text":"a"') == 150
    assert '"finish_reason":"length"' in text
    assert await pod.exit_code() == 0


async def test_a_pod_whose_queue_is_bounded_in_tokens_takes_so_many_and_tells(start: Start) -> None:
    pod = await start(max_concurrent=1, max_queued=9, max_queued_prompt_tokens=50)
    await pod.until("Serving")
    stream = await pod.complete(tokens=900, stream=True)
    waiting = asyncio.create_task(pod.complete([7] * 50, tokens=1))
    await pod.until_status(inFlight=1, queued=1)
    assert (await pod.complete([7], tokens=1)).status == 429
    page = ""
    async with asyncio.timeout(10):
        # The gate reports a moment after it has answered.
        while 'sluicegate_rejections_total{reason="QueueFull"} 1.0' not in page:
            page = (await pod.get(f"{pod.probe}/metrics"))[1]
    assert "sluicegate_queued_prompt_tokens 50.0" in page
    stream.close()
    assert (await waiting).status == 200


async def test_who_waits_when_draining_begins_is_served(start: Start) -> None:
    pod = await start(max_concurrent=1, linger_seconds=0)
    await pod.until("Serving")
    calls = [asyncio.create_task(pod.complete(tokens=30)) for _ in range(3)]
    await pod.until_status(queued=2)
    pod.signal(signal.SIGTERM)
    assert [(await call).status for call in calls] == [200, 200, 200]
    assert await pod.exit_code() == 0


async def test_past_the_deadline_what_is_left_ends_as_an_error(start: Start) -> None:
    pod = await start(drain_seconds=0.2, linger_seconds=0)
    await pod.until("Serving")
    stream = await pod.complete(tokens=3000, stream=True)
    whole = asyncio.create_task(pod.complete(tokens=3000))
    await pod.until_status(inFlight=2)
    pod.signal(signal.SIGTERM)
    assert (await whole).status == 503
    assert '"error"' in await stream.text()
    assert await pod.exit_code() == 0


async def test_an_engine_that_ignores_sigterm_is_killed_in_time(start: Start) -> None:
    pod = await start("ignore-sigterm", stop_seconds=0.5, linger_seconds=0)
    await pod.until("Serving")
    core = pod.engine_pid("VLLM::EngineCore")
    pod.signal(signal.SIGTERM)
    assert await pod.exit_code(seconds=3) == 0
    assert not is_running(core)


async def test_a_second_sigterm_ends_at_once(start: Start) -> None:
    pod = await start("ignore-sigterm", linger_seconds=60)
    await pod.until("Serving")
    pod.signal(signal.SIGTERM)
    await pod.until("Draining")
    pod.signal(signal.SIGTERM)
    assert await pod.exit_code(seconds=3) == 128 + signal.SIGTERM


async def test_sigterm_while_loading_ends_without_lingering(start: Start) -> None:
    pod = await start("hang-at-start", linger_seconds=60)
    await pod.until("Loading")
    pod.signal(signal.SIGTERM)
    assert await pod.exit_code(seconds=5) == 0


async def test_an_order_to_drain_drains_and_waits_for_the_end(serving: Pod) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with serving.http.post(f"{serving.control}/drain", headers=headers) as answer:
        assert answer.status == 202
    await serving.until_status(phase="Draining", message="nothing is in flight")
    assert (await serving.complete()).status == 503
    serving.signal(signal.SIGTERM)
    assert await serving.exit_code() == 0


@pytest.mark.parametrize(
    ("victim", "said"), [("VLLM::EngineCore", "ended"), ("tests.engine.fake_vllm", "out of memory)")]
)
async def test_a_dead_process_turns_not_ready_at_once_and_ends_the_container(
    serving: Pod, victim: str, said: str
) -> None:
    stream = await serving.complete(tokens=3000, stream=True)
    killed = time.monotonic()
    os.kill(serving.engine_pid(victim), signal.SIGKILL)
    await serving.until_not_ready()
    assert time.monotonic() - killed < 0.5
    assert await serving.exit_code() == 1
    assert serving.statement["error"]["reason"] == "EngineDied"
    assert f"{said} while Serving" in serving.statement["error"]["message"]
    if victim == "VLLM::EngineCore":
        assert '"error"' in await stream.text()


async def test_a_helper_that_ends_before_it_has_become_itself_is_not_taken_for_a_dead_worker(
    start: Start,
) -> None:
    pod = await start("fork-a-helper")
    await pod.until_logged("the helper has ended")
    await pod.until("Serving")
    assert (await pod.complete()).status == 200


async def test_an_engine_that_crashes_at_start_leaves_its_last_words(start: Start) -> None:
    pod = await start("crash-at-start")
    assert await pod.exit_code() == 1
    error = pod.statement["error"]
    assert error["reason"] == "EngineDied"
    assert "exited with code 1 while Loading" in error["message"]
    assert "ValueError: head size 9 is not supported" in error["message"]


async def test_an_engine_that_cannot_generate_never_becomes_ready(start: Start) -> None:
    pod = await start("abort-warm-up")
    assert await pod.exit_code() == 1
    assert pod.statement["error"]["reason"] == "WarmupFailed"


async def test_the_termination_message_never_holds_a_prompt(start: Start) -> None:
    pod = await start("write-secrets")
    await pod.until("Serving")
    await (await pod.complete(SECRET)).read()
    assert SECRET in pod.log
    os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
    assert await pod.exit_code() == 1
    assert SECRET not in json.dumps(pod.statement)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_who_is_killed_while_serving_leaves_no_log_to_quote(serving: Pod, number: int) -> None:
    serving.signal(number)
    await serving.exit_code()
    assert "error" not in serving.statement
    assert serving.statement["note"]


async def test_until_users_are_served_the_log_may_be_quoted(start: Start) -> None:
    pod = await start("hang-at-start")
    await pod.until("Loading")
    pod.signal(signal.SIGKILL)
    await pod.exit_code()
    assert not (pod.directory / "termination-log").exists()


async def test_a_missing_snapshot_is_said_at_once(start: Start, tmp_path: Path) -> None:
    pod = await start(model=tmp_path / "absent")
    assert await pod.exit_code() == 1
    assert pod.statement["error"]["reason"] == "SnapshotMissing"


async def test_the_ports_answer_while_the_engine_loads(start: Start) -> None:
    pod = await start("hang-at-start")
    await pod.until("Loading")
    status = await pod.status()
    assert (status["phase"], status["ready"], status["version"]) == ("Loading", False, VERSION)
    assert (await pod.get(f"{pod.probe}/livez"))[0] == 200
    code, page = await pod.get(f"{pod.probe}/metrics")
    assert (code, 'sluicegate_phase{phase="Loading"} 1.0' in page) == (200, True)


async def test_an_unhandled_exception_of_vllm_still_names_the_version(serving: Pod) -> None:
    answer = await serving.complete("fail")
    assert (answer.status, answer.headers[VERSION_HEADER]) == (500, VERSION)
