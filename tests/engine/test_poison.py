"""A request that ends each engine that gets it: real processes around a stand-in of vLLM.

A container that starts again in its pod is here a pod with the record of the one before.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientError
from tests.engine.models import write_model
from tests.engine.pod import Pod
from tests.engine.reloading import order, start_in
from tests.engine.store import FakeStore

Start = Callable[..., Awaitable[Pod]]
PATIENCE = {"doubt_seconds": 0.6, "stuck_seconds": 1.5, "first_answer_seconds": 1.5}
CORE = "crash the engine core"
LONG = 400
"""Tokens that take four seconds."""


@pytest.fixture
async def start(tmp_path: Path, store: FakeStore) -> AsyncIterator[Start]:
    pods: list[Pod] = []
    model, record = write_model(tmp_path / "model-a"), tmp_path / "quarantine.json"

    async def begin(misbehaviour: str = "", **options: object) -> Pod:
        options = {"quarantine_record": record, **options}
        pods.append(await start_in(tmp_path / str(len(pods)), model, store, misbehaviour, **options))
        await pods[-1].until("Serving")
        return pods[-1]

    yield begin
    for pod in pods:
        await pod.close()


async def status_of(pod: Pod, prompt: str) -> int:
    """0 where the server is gone before it answers."""
    try:
        return (await pod.complete(prompt, LONG)).status
    except ClientError:
        return 0


async def dies_of(pod: Pod, *prompts: str, reason: str = "EngineDied") -> str:
    """Send them, the last when the others are in the engine, and return the termination message."""
    sent = []
    for count, prompt in enumerate(prompts, 1):
        sent.append(asyncio.create_task(status_of(pod, prompt)))
        if count < len(prompts):
            await pod.until_status(inFlight=count)
    assert await pod.exit_code(seconds=20) == 1
    await asyncio.gather(*sent)
    assert pod.statement["error"]["reason"] == reason
    return str(pod.statement["error"]["message"])


@pytest.mark.parametrize(
    ("poison", "reason"),
    [(CORE, "EngineDied"), ("crash the server", "EngineDied"), ("deadlock", "EngineStuck")],
)
async def test_a_request_that_ended_two_engines_is_kept_from_the_third_which_serves_on(
    start: Start, poison: str, reason: str
) -> None:
    said = [await dies_of(await start(**PATIENCE), poison, reason=reason) for _ in range(2)]
    assert "; 1 requests were with it and are suspects" in said[0]
    assert "quarantined" not in said[0]
    assert "; 1 requests were with it and are suspects, 1 of them are quarantined" in said[1]
    # when it comes a third time
    pod = await start(**PATIENCE)
    answer = await pod.complete(poison, LONG, stream=True, user="another")
    # then
    assert answer.status == 422
    assert (await answer.json())["error"]["type"] == "Quarantined"
    assert await status_of(pod, "Hello") == 200
    assert (await pod.status())["ready"]
    _, page = await pod.get(f"{pod.probe}/metrics")
    assert 'sluicegate_rejections_total{reason="Quarantined"} 1.0' in page


async def test_a_bystander_that_had_an_answer_in_between_is_served(start: Start) -> None:
    await dies_of(await start(), "bystander", CORE)
    second = await start()
    assert await status_of(second, "bystander") == 200
    said = await dies_of(second, "bystander", CORE)
    assert "; 2 requests were with it and are suspects, 1 of them are quarantined" in said
    third = await start()
    assert await status_of(third, CORE) == 422
    assert await status_of(third, "bystander") == 200


async def test_whoever_waits_in_the_queue_is_no_suspect(start: Start) -> None:
    pod = await start(max_concurrent=1)
    sent = [asyncio.create_task(status_of(pod, "deadlock"))]
    await pod.until_status(inFlight=1)
    sent.append(asyncio.create_task(status_of(pod, "waits")))
    await pod.until_status(queued=1)
    os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
    assert await pod.exit_code() == 1
    await asyncio.gather(*sent)
    assert "; 1 requests were with it" in pod.statement["error"]["message"]


async def test_when_its_time_is_over_it_may_be_tried_again(start: Start) -> None:
    for _ in range(2):
        await dies_of(await start(), CORE)
    said = await dies_of(await start(quarantine_seconds=0), CORE)
    assert "1 of them are quarantined" in said
    assert await status_of(await start(), CORE) == 422


async def test_an_end_that_was_ordered_makes_no_suspects(start: Start, tmp_path: Path) -> None:
    pod = await start(linger_seconds=60)
    stream = await pod.complete("Hello", tokens=3000, stream=True)
    pod.signal(signal.SIGTERM)
    await pod.until("Draining")
    os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
    assert await pod.exit_code() == 1
    stream.close()
    assert "suspects" not in pod.statement["error"]["message"]
    assert not (tmp_path / "quarantine.json").exists()


async def test_an_engine_that_dies_in_a_reload_makes_no_suspects(start: Start, tmp_path: Path) -> None:
    pod = await start("stage-for-ever")
    stream = await pod.complete("Hello", tokens=3000, stream=True)
    await pod.order("/reload", order(write_model(tmp_path / "model-b")))
    await pod.until_reload(phase="Staging")
    os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
    assert await pod.exit_code() == 1
    stream.close()
    assert "suspects" not in pod.statement["error"]["message"]


async def test_nothing_that_is_kept_or_said_holds_a_prompt(start: Start, tmp_path: Path) -> None:
    pods = []
    for _ in range(2):
        pods.append(await start())
        await dies_of(pods[-1], CORE)
    pods.append(await start())
    assert await status_of(pods[-1], CORE) == 422
    record = tmp_path / "quarantine.json"
    for text in (record.read_text(), *(pod.log for pod in pods), json.dumps(pods[1].statement)):
        assert CORE not in text
    assert record.stat().st_mode & 0o777 == 0o600
