"""What a pod does around any engine, the stand-in and the real vLLM alike.

Each check takes a pod that is serving with max_concurrent=2 and max_queued=2. The suites of tests/engine and
tests/engine_vllm run them all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.engine.pod import DIGEST, TOKEN, VERSION, Pod, events

from sluicegate_engine.gate_settings import VERSION_HEADER
from sluicegate_engine.work import METRICS

Check = Callable[[Pod], Awaitable[None]]
GENERATED = "vllm:generation_tokens_total"


async def a_completion_is_answered_with_the_version(pod: Pod) -> None:
    answer = await pod.complete(tokens=5)
    choice = (await answer.json())["choices"][0]
    assert (answer.status, choice["finish_reason"]) == (200, "length")
    assert answer.headers[VERSION_HEADER] == VERSION
    assert "connection" not in answer.headers


async def a_stream_ends_as_asked(pod: Pod) -> None:
    answer = await pod.complete(tokens=5, stream=True)
    told = events(await answer.text())
    assert answer.headers[VERSION_HEADER] == VERSION
    assert told[-1]["choices"][0]["finish_reason"] == "length"


async def a_request_is_found_in_the_log_by_the_id_on_its_answer(pod: Pod) -> None:
    headers = {"X-Request-Id": "order-66", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    request = {"model": "chat", "prompt": "Hello", "max_tokens": 5, "ignore_eos": True}
    for stream in (False, True):
        body = {**request, "stream": stream}
        async with pod.http.post(f"{pod.serving}/v1/completions", json=body, headers=headers) as answer:
            await answer.read()
            assert (answer.status, answer.headers["x-request-id"]) == (200, "order-66")
    whole, streamed = await pod.until_journal(2, id="order-66")
    for line in (whole, streamed):
        told = {name: line[name] for name in ("trace", "version", "route", "outcome", "finish")}
        assert list(told.values()) == ["1" * 32, VERSION, "/v1/completions", "served", "length"]
        assert line["e2eSeconds"] >= line["queueSeconds"] >= 0
    assert (whole["outputTokens"], whole["promptTokens"] > 0) == (5, True)
    assert streamed["e2eSeconds"] > streamed["ttftSeconds"] > 0


async def other_routes_of_vllm_do_not_exist(pod: Pod) -> None:
    for method, path in (
        ("POST", "/scale_elastic_ep"),
        ("POST", "/invocations"),
        ("POST", "/adapters"),
        ("POST", "/collective_rpc"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
    ):
        async with pod.http.request(method, pod.serving + path) as answer:
            assert (path, answer.status) == (path, 404)
            assert answer.headers[VERSION_HEADER] == VERSION
    async with pod.http.get(pod.serving + "/v1/models") as answer:
        assert (answer.status, answer.headers[VERSION_HEADER]) == (200, VERSION)


async def beyond_the_queue_requests_are_turned_away_and_the_rest_is_served(pod: Pod) -> None:
    streams = [await pod.complete(tokens=900, stream=True) for _ in range(2)]
    waiting = [asyncio.create_task(pod.complete(tokens=2)) for _ in range(2)]
    await pod.until_status(inFlight=2, queued=2)
    refused = await pod.complete(tokens=2)
    assert (refused.status, 1 <= int(refused.headers["retry-after"]) <= 60) == (429, True)
    assert refused.headers[VERSION_HEADER] == VERSION
    for stream in streams:
        stream.close()
    assert [(await call).status for call in waiting] == [200, 200]
    await pod.until_status(inFlight=0, queued=0)


async def a_stream_that_had_to_wait_is_whole(pod: Pod) -> None:
    running = [asyncio.create_task(pod.complete(tokens=100)) for _ in range(2)]
    await pod.until_status(inFlight=2)
    answer = await pod.complete(tokens=5, stream=True)
    told = events(await answer.text())
    assert told[-1]["choices"][0]["finish_reason"] == "length"
    assert [(await call).status for call in running] == [200, 200]


async def a_client_that_leaves_its_stream_frees_its_place(pod: Pod) -> None:
    streams = [await pod.complete(tokens=900, stream=True) for _ in range(2)]
    for stream in streams:
        await stream.content.readline()
        stream.close()
    answer = await asyncio.wait_for(pod.complete(tokens=2), 2.5)
    assert answer.status == 200
    await answer.read()


async def the_control_port_wants_its_token(pod: Pod) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"bearer{TOKEN}"}):
        assert (await pod.get(f"{pod.control}/status", headers=headers))[0] == 401
    async with pod.http.post(f"{pod.control}/drain") as answer:
        assert answer.status == 401
    status = await pod.status()
    assert status["phase"] == "Serving"
    assert (status["version"], status["digest"], status["ready"]) == (VERSION, DIGEST, True)
    # The gate tells the supervisor a moment after a request has ended.
    await pod.until_status(inFlight=0, queued=0)


async def the_control_port_names_the_version_of_vllm_that_everybody_sees(pod: Pod) -> None:
    async with pod.http.get(pod.serving + "/version") as answer:
        told = (await answer.json())["version"]
    assert (await pod.status())["vllm"] == told
    assert told


async def in_flight_requests_are_seen_from_outside(pod: Pod) -> None:
    stream = await pod.complete(tokens=200, stream=True)
    await stream.content.readline()
    await pod.until_status(inFlight=1)
    await stream.read()
    await pod.until_status(inFlight=0)


async def the_answers_of_a_version_are_measured(pod: Pod) -> None:
    before = _count((await _measured(pod)).get("outputTokens", []), 7)
    await (await pod.complete(tokens=7)).read()
    # Nobody asks for usage, and of events there may be fewer.
    await (await pod.complete(tokens=7, stream=True)).read()
    told = await _until_measured(pod, tokens=7, count=before + 2)
    pace, latency = told["timePerOutputTokenMicroseconds"], told["latencyMicroseconds"]
    assert 0 < min(pace)[0] < min(latency)[0]
    assert 0 < min(told["timeToFirstTokenMicroseconds"])[0] <= max(latency)[0]
    assert told["outcomes"]["served"] >= 2


async def the_metrics_page_is_vllms_and_ours(pod: Pod) -> None:
    before = _metric(await _page(pod), 'sluicegate_requests_total{outcome="served"}')
    await (await pod.complete()).read()
    await pod.until_status(inFlight=0)
    page = await _page(pod)
    assert _metric(page, 'sluicegate_requests_total{outcome="served"}') == before + 1
    assert f'sluicegate_model_version_info{{digest="{DIGEST}",version="{VERSION}"}} 1.0' in page
    assert "vllm:num_requests_running" in page
    assert _metric(page, "sluicegate_in_flight_requests") == 0


async def what_the_engine_does_is_counted(pod: Pod) -> None:
    before = _total(await _page(pod), GENERATED)
    await (await pod.complete(tokens=7)).read()
    page = await _page(pod)
    assert _total(page, GENERATED) - before >= 7
    for name in METRICS:
        assert re.search(rf"^{name}[ {{]", page, re.MULTILINE), name


async def _measured(pod: Pod) -> dict[str, Any]:
    found: dict[str, Any] = (await pod.status())["measured"].get(VERSION, {})
    return found


async def _until_measured(pod: Pod, tokens: int, count: int) -> dict[str, Any]:
    """What is told once so many answers of this length are in it."""
    async with asyncio.timeout(10):
        while True:
            told = await _measured(pod)
            if _count(told.get("outputTokens", []), tokens) >= count:
                return told
            await asyncio.sleep(0.1)


def _count(sketch: list[tuple[int, int]], value: int) -> int:
    return sum(count for told, count in sketch if told == value)


async def _page(pod: Pod) -> str:
    return (await pod.get(f"{pod.probe}/metrics"))[1]


def _metric(page: str, name: str) -> float:
    found = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(name + " ")]
    return float(found[0]) if found else 0.0


def _total(page: str, name: str) -> float:
    """Whatever its labels."""
    return sum(
        float(line.rpartition(" ")[2]) for line in page.splitlines() if re.match(rf"{name}[ {{]", line)
    )


CHECKS: tuple[Check, ...] = (
    a_completion_is_answered_with_the_version,
    a_stream_ends_as_asked,
    a_request_is_found_in_the_log_by_the_id_on_its_answer,
    other_routes_of_vllm_do_not_exist,
    beyond_the_queue_requests_are_turned_away_and_the_rest_is_served,
    a_stream_that_had_to_wait_is_whole,
    a_client_that_leaves_its_stream_frees_its_place,
    the_control_port_wants_its_token,
    the_control_port_names_the_version_of_vllm_that_everybody_sees,
    in_flight_requests_are_seen_from_outside,
    the_answers_of_a_version_are_measured,
    the_metrics_page_is_vllms_and_ours,
    what_the_engine_does_is_counted,
)
