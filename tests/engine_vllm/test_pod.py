"""The supervisor and the gate around the real vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, ServerDisconnectedError
from tests.engine.contract import CHECKS
from tests.engine.pod import VERSION, Pod
from tests.engine_vllm.conftest import SMALL, START_SECONDS, Start

from sluicegate_engine.gate_settings import VERSION_HEADER


async def chat(pod: Pod, text: str) -> dict[str, Any]:
    request = {"model": "chat", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
    async with pod.http.post(f"{pod.serving}/v1/chat/completions", json=request) as answer:
        assert answer.headers[VERSION_HEADER] == VERSION
        found: dict[str, Any] = await answer.json()
        return found


async def test_a_pod_serves_by_the_contract_and_drains_without_losing_a_stream(start: Start) -> None:
    pod = await start(linger_seconds=1)
    await pod.until("Loading")
    assert (await pod.status())["ready"] is False
    await pod.until("Serving", START_SECONDS)
    for check in CHECKS:
        await asyncio.wait_for(check(pod), 30)
    first, second = await chat(pod, "Hello"), await chat(pod, "Goodbye")
    assert first["choices"][0]["message"]["content"] != second["choices"][0]["message"]["content"]
    invalid = await pod.complete(max_tokens=-1)
    assert (invalid.status, invalid.headers[VERSION_HEADER]) == (400, VERSION)

    streams = [await pod.complete(tokens=900, stream=True) for _ in range(2)]
    ordered = time.monotonic()
    pod.signal(signal.SIGTERM)
    await pod.until_not_ready()
    assert time.monotonic() - ordered < 1, "it turns away whom it has not told"
    for stream in streams:
        text = await stream.text()
        assert '"finish_reason":"length"' in text
        assert "[DONE]" in text
    assert await pod.exit_code(seconds=1 + 60 + 10 + 5) == 0


async def test_past_the_deadline_nothing_that_was_cut_short_is_a_200(start: Start) -> None:
    pod = await start(linger_seconds=0, drain_seconds=0.2)
    await pod.until("Serving", START_SECONDS)
    whole = asyncio.create_task(pod.complete(tokens=1000))
    stream = await pod.complete(tokens=1000, stream=True)
    await pod.until_status(inFlight=2)
    pod.signal(signal.SIGTERM)
    try:
        answer = await whole
        assert (answer.status, answer.headers[VERSION_HEADER]) in [(503, VERSION), (500, VERSION)]
    except ServerDisconnectedError:
        # On a busy machine the pod is gone before it has said so: an error too, and no answer cut short.
        pass
    # Of a stream the same: it breaks off without its last chunk.
    with suppress(ClientPayloadError):
        assert '"error"' in await stream.text()
    assert await pod.exit_code(seconds=15) == 0


OF_THE_ENGINE = pytest.mark.parametrize(
    ("victim", "flags"),
    [("VLLM::EngineCore", SMALL), ("VLLM::Worker_TP1", (*SMALL, "--tensor-parallel-size=2"))],
    ids=["engine core", "rank of two"],
)


@OF_THE_ENGINE
async def test_a_dead_process_is_not_ready_within_a_second_and_ends_the_container(
    start: Start, victim: str, flags: tuple[str, ...]
) -> None:
    pod = await start(*flags)
    await pod.until("Serving", START_SECONDS)
    stream = await pod.complete("my-secret-prompt", tokens=900, stream=True)
    killed = time.monotonic()
    os.kill(pod.engine_pid(victim), signal.SIGKILL)
    await pod.until_not_ready()
    assert time.monotonic() - killed < 1
    assert await pod.exit_code() == 1
    assert pod.statement["error"]["reason"] == "EngineDied"
    assert victim in pod.statement["error"]["message"]
    assert "my-secret-prompt" not in json.dumps(pod.statement)
    stream.close()


@OF_THE_ENGINE
async def test_a_stopped_process_is_found_though_the_server_is_well_and_ends_the_container(
    start: Start, victim: str, flags: tuple[str, ...]
) -> None:
    pod = await start(*flags, doubt_seconds=3, stuck_seconds=8, first_answer_seconds=8)
    await pod.until("Serving", START_SECONDS)
    # given an engine that is idle for longer than it may do nothing
    await asyncio.sleep(12)
    assert (await pod.status())["ready"]
    # when
    os.kill(pod.engine_pid(victim), signal.SIGSTOP)
    await pod.until("EngineStuck", seconds=20)
    # then
    assert await pod.exit_code() == 1
    assert f"{victim} (pid" in pod.statement["error"]["message"]


async def test_a_request_with_which_two_engines_died_is_kept_from_the_third_and_whoever_waited_is_not(
    start: Start, tmp_path: Path
) -> None:
    one_at_a_time = {"quarantine_record": tmp_path / "quarantine.json", "max_concurrent": 1}
    for _ in range(2):
        pod = await start(**one_at_a_time)
        await pod.until("Serving", START_SECONDS)
        poison = asyncio.create_task(_status(pod, "poison", 900))
        await pod.until_status(inFlight=1)
        waits = asyncio.create_task(_status(pod, "waits", 8))
        await pod.until_status(queued=1)
        os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
        assert await pod.exit_code() == 1
        assert await poison in (500, GONE)
        assert await waits in (503, GONE)
    # when
    pod = await start(**one_at_a_time)
    await pod.until("Serving", START_SECONDS)
    # then
    assert await _status(pod, "poison", 900) == 422
    assert await _status(pod, "waits", 8) == 200


GONE = 0
"""In place of a status, where the server ends before it answers."""


async def _status(pod: Pod, prompt: str, tokens: int) -> int:
    try:
        return (await pod.complete(prompt, tokens)).status
    except ClientConnectionError:
        return GONE


async def test_settings_that_vllm_refuses_are_told_in_its_own_words(start: Start) -> None:
    pod = await start("--max-model-len=4096")
    assert await pod.exit_code(seconds=START_SECONDS) == 1
    message = pod.statement["error"]["message"]
    assert "while Loading" in message
    assert "max_model_len (4096)" in message
