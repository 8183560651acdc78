"""The way of spans to a collector: by real HTTP, on a thread of its own, bounded, and counted where lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from tests.engine.collector import FakeCollector

from sluicegate_engine.otlp import Collector, Exporter
from sluicegate_engine.spans import Kind, Span
from sluicegate_engine.trace_context import TraceContext

CONTEXT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, b"a=1")
Make = Callable[..., Exporter]


@pytest.fixture
async def make(collector: FakeCollector) -> AsyncIterator[Make]:
    made: list[Exporter] = []

    def exporter(path: str = "/v1/traces", **options: Any) -> Exporter:
        where = Collector(collector.url + path, {"tenant": "a"}, {"service.name": "chat"})
        made.append(Exporter(where, **{"interval_seconds": 0.01, "pauses_seconds": (0.01,), **options}))
        return made[-1]

    yield exporter
    collector.open.set()
    for each in made:
        await asyncio.to_thread(each.close)


def trace(name: str = "POST /v1/completions") -> Callable[[], Sequence[Span]]:
    attributes = {"text": 'with "quotes"', "count": 2**40, "share": 0.5, "list": ["stop"]}
    return lambda: [Span(name, CONTEXT, "00f067aa0ba902b7", 10, 20, attributes, Kind.SERVER, failed=True)]


async def until_lost(exporter: Exporter, count: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if exporter.lost >= count:
                return
            await asyncio.sleep(0.01)


async def test_a_span_arrives_as_it_was(make: Make, collector: FakeCollector) -> None:
    make().add(trace())
    (span,) = await collector.until(1)
    assert (span.name, span.trace, span.span) == (
        "POST /v1/completions",
        CONTEXT.trace_id,
        CONTEXT.span_id,
    )
    assert (span.parent, span.kind) == ("00f067aa0ba902b7", 2)
    assert (span.start, span.end, span.failed) == (10, 20, True)
    assert span.attributes == {"text": 'with "quotes"', "count": 2**40, "share": 0.5, "list": ["stop"]}
    assert span.resource == {"service.name": "chat"}
    assert (collector.posts[0]["content-type"], collector.posts[0]["tenant"]) == ("application/json", "a")


async def test_what_comes_together_goes_together(make: Make, collector: FakeCollector) -> None:
    exporter = make(interval_seconds=0.2)
    for n in range(100):
        exporter.add(trace(str(n)))
    spans = await collector.until(100)
    assert [span.name for span in spans] == [str(n) for n in range(100)]
    assert len(collector.posts) == 2
    assert exporter.lost == 0


async def test_what_finds_no_room_is_dropped_and_counted_and_nobody_waits(
    make: Make, collector: FakeCollector
) -> None:
    exporter = make(waiting=5)
    collector.open.clear()
    exporter.add(trace())
    await collector.until_asked()
    began = time.monotonic()
    for _ in range(1000):
        exporter.add(trace())
    assert time.monotonic() - began < 0.5
    assert exporter.lost == 995
    collector.open.set()
    await collector.until(6)


async def test_a_collector_that_is_busy_is_asked_again(make: Make, collector: FakeCollector) -> None:
    collector.answers = [503, 429]
    exporter = make(pauses_seconds=(0.01, 0.01))
    exporter.add(trace())
    assert len(await collector.until(1)) == 1
    assert (len(collector.posts), exporter.lost) == (3, 0)


@pytest.mark.parametrize(("answers", "posts"), [([503] * 2, 2), ([400], 1)])
async def test_what_the_collector_does_not_take_is_counted_and_said_once(
    make: Make, collector: FakeCollector, answers: list[int], posts: int, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers = answers * 2
    exporter = make()
    with caplog.at_level(logging.WARNING):
        for lost in (1, 2):
            exporter.add(trace())
            await until_lost(exporter, lost)
    assert len(collector.posts) == posts * 2
    assert caplog.text.count("takes no spans") == 1
    exporter.add(trace())
    await collector.until(1)
    assert exporter.lost == 2


async def test_a_redirect_is_not_followed_with_the_collectors_headers(
    make: Make, collector: FakeCollector
) -> None:
    exporter = make("/moved")
    exporter.add(trace())
    await until_lost(exporter, 1)
    assert collector.led == []


async def test_a_collector_that_is_not_there_costs_only_the_spans(
    make: Make, collector: FakeCollector
) -> None:
    exporter = Exporter(Collector("http://127.0.0.1:1/v1/traces", {}, {}), 0.01, pauses_seconds=())
    exporter.add(trace())
    await until_lost(exporter, 1)
    exporter.close()


async def test_closing_sends_what_is_left(make: Make, collector: FakeCollector) -> None:
    exporter = make(interval_seconds=3600)
    exporter.add(trace())
    await asyncio.to_thread(exporter.close)
    assert len(collector.spans) == 1


async def test_closing_waits_for_no_collector(make: Make, collector: FakeCollector) -> None:
    exporter = make()
    collector.open.clear()
    exporter.add(trace())
    began = time.monotonic()
    await asyncio.to_thread(exporter.close, 0.1)
    assert time.monotonic() - began < 2
