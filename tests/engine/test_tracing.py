"""Traces of a pod around the stand-in of vLLM, as a collector gets them; and a log without its users."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.engine.collector import FakeCollector, Received
from tests.engine.models import write_model
from tests.engine.pod import VERSION, Pod, start_pod
from tests.engine.reloading import order
from tests.engine.store import FakeStore

TRACE, SPAN = "1" * 32, "2" * 16
CANARY = "canary"
Start = Callable[..., Awaitable[Pod]]


@pytest.fixture
async def start(tmp_path: Path, collector: FakeCollector) -> AsyncIterator[Start]:
    pods: list[Pod] = []
    model = write_model(tmp_path / "model-a", "a")

    async def begin(store: FakeStore | None = None, **environment: str) -> Pod:
        directory = tmp_path / str(len(pods))
        directory.mkdir()
        options = {}
        if store is not None:
            store.models = directory / "models"
            options["store-url"] = store.url
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "chat"}
        pod = await start_pod(
            directory,
            model,
            module="tests.engine.fake_vllm",
            environment={**endpoint, **environment},
            options=options,
        )
        pods.append(pod)
        await pod.until("Serving")
        return pod

    yield begin
    for pod in pods:
        await pod.close()


async def complete(pod: Pod, stream: bool, headers: dict[str, str]) -> None:
    request = {"model": "chat", "prompt": "Hello", "max_tokens": 5, "stream": stream}
    async with pod.http.post(f"{pod.serving}/v1/completions", json=request, headers=headers) as answer:
        await answer.read()


async def test_a_stream_is_a_span_of_its_callers_trace_with_its_phases_below(
    start: Start, collector: FakeCollector
) -> None:
    pod = await start()
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "v=1", "X-Request-Id": "order-66"}
    await complete(pod, True, headers)
    server, queue, prefill, decode = await collector.until(4)
    assert (server.name, server.trace, server.parent) == ("POST /v1/completions", TRACE, SPAN)
    assert (server.kind, server.failed) == (2, False)
    assert server.resource == {"service.name": "chat", "host.name": socket.gethostname()}
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/completions",
        "http.response.status_code": 200,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["length"],
        "sluicegate.request.id": "order-66",
        "sluicegate.request.outcome": "served",
        "sluicegate.model_version": VERSION,
    }
    assert [span.name for span in (queue, prefill, decode)] == ["queue", "prefill", "decode"]
    assert {span.parent for span in (queue, prefill, decode)} == {server.span}
    assert len({span.span for span in (server, queue, prefill, decode)}) == 4
    assert server.start <= queue.start <= queue.end == prefill.start
    assert prefill.start < prefill.end == decode.start < decode.end <= server.end
    (line,) = await pod.until_journal(1, id="order-66")
    assert line["trace"] == server.trace
    assert _seconds(server) == pytest.approx(line["readSeconds"] + line["e2eSeconds"], abs=1e-5)


async def test_what_its_caller_does_not_record_is_not_exported(
    start: Start, collector: FakeCollector
) -> None:
    pod = await start()
    await complete(pod, True, {"traceparent": f"00-{'3' * 32}-{SPAN}-00"})
    await complete(pod, False, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
    server, queue = await collector.until(2)
    assert (server.trace, queue.name) == (TRACE, "queue")
    assert {line["trace"] for line in await pod.until_journal(2)} == {"3" * 32, TRACE}


async def test_what_fails_is_a_failed_span(start: Start, collector: FakeCollector) -> None:
    pod = await start()
    answer = await pod.complete("fail")
    assert answer.status == 500
    server = (await collector.until(2))[0]
    assert (server.failed, server.parent) == (True, "")
    assert server.attributes["error.type"] == "InternalError"


async def test_a_pod_that_ends_sends_its_last_spans(start: Start, collector: FakeCollector) -> None:
    pod = await start()
    await (await pod.complete()).read()
    pod.signal(signal.SIGTERM)
    assert await pod.exit_code() == 0
    assert len(collector.spans) == 2


async def test_a_reload_is_a_trace_of_its_phases(
    start: Start, collector: FakeCollector, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model-b", "b")
    store = FakeStore()
    async with store.listening():
        pod = await start(store)
        await pod.order("/reload", order(model, sequence=4))
        told = await pod.until_reload(outcome="Committed")
        reload, *phases = await collector.until(1)
    assert (reload.name, reload.parent, reload.failed) == ("reload", "", False)
    assert reload.attributes["sluicegate.reload.outcome"] == "Committed"
    assert (
        reload.attributes["sluicegate.model_version"],
        reload.attributes["sluicegate.reload.sequence"],
    ) == (
        "model-b",
        4,
    )
    assert [span.name for span in phases] == list(told["seconds"])
    assert {(span.trace, span.parent) for span in phases} == {(reload.trace, reload.span)}
    assert [span.end for span in phases[:-1]] == [span.start for span in phases[1:]]
    assert sum(map(_seconds, phases)) == pytest.approx(_seconds(reload))
    for span in phases:
        assert _seconds(span) == pytest.approx(told["seconds"][span.name], abs=0.05)


async def test_a_collector_that_takes_nothing_fails_no_request_and_is_counted(
    start: Start, collector: FakeCollector
) -> None:
    collector.answers = [400]
    pod = await start()
    assert (await pod.complete()).status == 200
    await pod.until_logged("takes no spans: HTTP 400")
    assert (await pod.complete()).status == 200
    await collector.until(2)
    page = (await pod.get(f"{pod.probe}/metrics"))[1]
    assert "sluicegate_lost_traces_total 1.0" in page


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("parent", [CANARY, f"00-{TRACE}-{SPAN}-01"])
async def test_a_pods_log_and_traces_hold_nothing_that_its_clients_wrote(
    start: Start, collector: FakeCollector, stream: bool, parent: str
) -> None:
    pod = await start()
    request = {"prompt": CANARY, "user": CANARY, "max_tokens": 3, "stream": stream, CANARY: [CANARY]}
    headers = {
        **dict.fromkeys(("X-Request-Id", "baggage"), f"{CANARY} {CANARY}"),
        "traceparent": parent,
        "tracestate": f"{CANARY}={CANARY}",
        f"X-{CANARY}": CANARY,
        "Authorization": f"Bearer {CANARY}",
        "User-Agent": CANARY,
    }
    for path in (f"/v1/completions?{CANARY}={CANARY}", f"/{CANARY}", f"/v1/completions/{CANARY}"):
        async with pod.http.post(pod.serving + path, data=json.dumps(request), headers=headers) as answer:
            await answer.read()
    await pod.until_journal(1, outcome="served")
    assert len(pod.journal) == 1
    await collector.until(2)
    assert CANARY not in pod.log.lower()
    assert CANARY not in str(collector.spans).lower()


def _seconds(span: Received) -> float:
    return (span.end - span.start) / 1e9
