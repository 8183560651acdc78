"""What the gate measures of the answers of each version."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.asgi_client import settle, start
from tests.engine.clock import Watch
from tests.engine.gate import CHUNK, DONE, STREAM, Engine, Fixture, admitted, timed_stream

from sluicegate_engine.admission import Admission
from sluicegate_engine.answer import Outcome
from sluicegate_engine.asgi import Receive, Scope, Send
from sluicegate_engine.measurement import REQUESTS_OF_A_WINDOW, Measurements, Pace


@pytest.fixture
def timed(engine: Engine, watch: Watch) -> Fixture:
    return Fixture(engine, max_concurrent=1, max_queued=2, clock=watch)


def measured(gate: Fixture, version: str = "v1") -> dict[str, Any]:
    found: Any = gate.gate._measurements.encode()[version]
    return found


async def test_a_stream_is_measured_from_request_to_first_token_and_from_token_to_token(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, CHUNK, CHUNK, DONE, tokens=3)
    assert measured(timed) == {
        "outcomes": {"served": 1},
        "timeToFirstTokenMicroseconds": [(99_328, 1)],
        "timePerOutputTokenMicroseconds": [(14_976, 1)],
        "latencyMicroseconds": [(130_048, 1)],
        "outputTokens": [(3, 1)],
    }


async def test_tokens_are_as_many_as_vllm_counted_and_not_as_many_as_events(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, CHUNK, CHUNK, DONE, tokens=10)
    told = measured(timed)
    assert told["outputTokens"] == [(10, 1)]
    assert told["timePerOutputTokenMicroseconds"] == [(3_360, 1)]


async def test_what_vllm_tells_of_no_tokens_at_all_is_none(timed: Fixture, engine: Engine) -> None:
    call = await admitted(timed)
    engine.count(0, 3, 0)
    await engine.answer(0)
    await call.done()
    assert measured(timed)["outputTokens"] == [(0, 1)]


async def test_of_an_answer_in_one_piece_no_first_token_is_seen(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    watch.at += 50
    engine.count(0, 3, 40)
    await engine.answer(0)
    await call.done()
    assert measured(timed) == {
        "outcomes": {"served": 1},
        "timeToFirstTokenMicroseconds": [],
        "timePerOutputTokenMicroseconds": [],
        "latencyMicroseconds": [(49_664, 1)],
        "outputTokens": [(40, 1)],
    }


async def test_a_stream_of_nothing_has_no_first_token(timed: Fixture, engine: Engine, watch: Watch) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call)
    told = measured(timed)
    assert (told["outcomes"], told["outputTokens"]) == ({"served": 1}, [(0, 1)])
    assert told["timeToFirstTokenMicroseconds"] == []


async def test_a_single_token_has_no_pace(timed: Fixture, engine: Engine, watch: Watch) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, DONE, tokens=1)
    assert measured(timed)["timePerOutputTokenMicroseconds"] == []
    assert measured(timed)["outputTokens"] == [(1, 1)]


async def test_the_wait_in_our_queue_counts(timed: Fixture, engine: Engine, watch: Watch) -> None:
    first, second = await admitted(timed), await admitted(timed)
    await timed_stream(engine, watch, first, CHUNK)
    await settle()
    await timed_stream(engine, watch, second, CHUNK, n=1)
    assert measured(timed)["timeToFirstTokenMicroseconds"] == [(99_328, 1), (198_656, 1)]


async def test_what_fails_is_counted_and_has_no_pace(timed: Fixture, engine: Engine, watch: Watch) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, b'data: {"error": {"code": 500}}\n\n')
    told = measured(timed)
    assert told["outcomes"] == {"error": 1}
    assert not any(told[name] for name in told if name != "outcomes")


async def test_a_client_that_leaves_before_the_first_token_was_not_answered(watch: Watch) -> None:
    async def stream_until_gone(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        if body == b"soon":
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    timed = Fixture(stream_until_gone, max_queued=2, clock=watch)
    running, waiting = await admitted(timed), await admitted(timed)
    for call in (waiting, running, await admitted(timed, b"soon")):
        call.disconnect()
        await call.done()
    assert measured(timed)["outcomes"] == {"unanswered": 2, "disconnected": 1}


async def test_the_length_of_an_answer_that_vllm_did_not_count_is_not_guessed(
    timed: Fixture, engine: Engine
) -> None:
    call = await admitted(timed)
    await engine.answer(0, b"{}")
    await call.done()
    assert (measured(timed)["outcomes"], measured(timed)["outputTokens"]) == ({"served": 1}, [])


async def test_each_version_has_figures_of_its_own(timed: Fixture, engine: Engine, watch: Watch) -> None:
    for n, version in enumerate(("v1", "v2", "v3")):
        timed.command(Admission.OPEN, version)
        call = await admitted(timed)
        timed.command(Admission.OPEN, "later")
        await timed_stream(engine, watch, call, CHUNK, n=n)
    assert list(timed.gate._measurements.encode()) == ["v2", "v3"]
    assert measured(timed, "v2")["outcomes"] == {"served": 1}


async def test_a_request_is_of_the_version_at_its_admission(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    first, waiting = await admitted(timed), await admitted(timed)
    timed.command(Admission.OPEN, "v2")
    await timed_stream(engine, watch, first, CHUNK)
    await settle()
    await timed_stream(engine, watch, waiting, CHUNK, n=1)
    assert (measured(timed)["outcomes"], measured(timed, "v2")["outcomes"]) == ({"served": 1}, {"served": 1})


async def test_requests_turned_away_are_of_the_version_too(timed: Fixture) -> None:
    timed.command(Admission.REFUSING)
    await start(timed.gate).done()
    assert measured(timed)["outcomes"] == {"rejected": 1}


def test_only_the_last_requests_are_told_of(watch: Watch) -> None:
    measurements = Measurements()
    for outcome, count in (
        (Outcome.ERROR, 1),
        (Outcome.SERVED, REQUESTS_OF_A_WINDOW),
        (Outcome.SERVED, REQUESTS_OF_A_WINDOW),
    ):
        for _ in range(count):
            measurements.count("v1", outcome, Pace(watch))
    told: Any = measurements.encode()["v1"]
    assert told["outcomes"] == {"served": REQUESTS_OF_A_WINDOW + 1}
    assert told["latencyMicroseconds"] == [(0, REQUESTS_OF_A_WINDOW + 1)]
