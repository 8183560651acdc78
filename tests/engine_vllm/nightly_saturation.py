"""Half an hour of more work than an engine can do, and nobody takes it for a stuck one: by name only.

python -m pytest tests/engine_vllm/nightly_saturation.py
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
from tests.engine.pod import Pod, events
from tests.engine_vllm.conftest import START_SECONDS, Start

SECONDS = 1800
AT_A_TIME = 16
CLIENTS = 24
LONG, SHORT = 900, 100


async def test_an_engine_with_more_work_than_it_can_do_is_never_taken_for_a_stuck_one(start: Start) -> None:
    pod = await start(max_concurrent=AT_A_TIME, max_queued=CLIENTS)
    await pod.until("Serving", START_SECONDS)
    served = [0] * CLIENTS

    over = time.monotonic() + SECONDS
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for client in range(CLIENTS):
            tasks.create_task(_ask(http, pod, client, over, served))
        while time.monotonic() < over:
            assert await _is_ready(pod), f"the log ends: {pod.log[-4000:]}"
            await asyncio.sleep(1)

    assert min(served) > 0


async def _is_ready(pod: Pod) -> bool:
    said = await pod.ready()
    return bool(said and said["ready"])


async def _ask(http: aiohttp.ClientSession, pod: Pod, client: int, over: float, served: list[int]) -> None:
    """One answer after another, each whole. Two of three clients want long ones, the third sends as much."""
    sent, wanted = (SHORT, LONG) if client % 3 else (LONG, SHORT)
    while time.monotonic() < over:
        prompt = [(client + place + served[client]) % 250 + 1 for place in range(sent)]
        request = {"model": "chat", "prompt": prompt, "max_tokens": wanted, "ignore_eos": True}
        url = f"{pod.serving}/v1/completions"
        async with http.post(url, json={**request, "stream": True}) as answer:
            text = await answer.text()
        assert answer.status == 200, text
        assert events(text)[-1]["choices"][0]["finish_reason"] == "length"
        served[client] += 1
