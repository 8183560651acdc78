"""What the gate reads of a request, and what it refuses to hold."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.asgi_client import Call, settle, start
from tests.engine.gate import Engine, Fixture, admitted, error_type

from sluicegate_engine.admission import Admission
from sluicegate_engine.gate_settings import VERSION_HEADER


async def test_a_client_that_goes_before_its_body_is_whole_takes_no_place(gate: Fixture) -> None:
    call = Call()
    call.inbox.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
    call.disconnect()
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    await gate.gate(scope, call.inbox.get, call.send)
    assert (call.starts, gate.report.outcomes) == (0, {"disconnected": 1})


async def test_a_body_over_the_bound_is_413(gate: Fixture, engine: Engine) -> None:
    call = await start(gate.gate, "/v1/completions", b"x" * 60, b"x" * 60).done()
    assert (call.status, error_type(call)) == (413, "BodyTooLarge")
    assert call.headers[VERSION_HEADER] == "v1"
    assert engine.bodies == []


@pytest.mark.parametrize("path", ["/v1/completions", "/tokenize"])
async def test_a_body_that_is_announced_over_the_bound_is_413_unread(gate: Fixture, path: str) -> None:
    call = start(gate.gate, path, headers={"content-length": "101"})
    assert (await call.done()).status == 413
    assert call.inbox.qsize() == 1


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_what_takes_no_turn_has_a_bounded_body_too(gate: Fixture, engine: Engine, path: str) -> None:
    call = await start(gate.gate, path, b"x" * 60, b"x" * 60).done()
    assert (call.status, error_type(call)) == (413, "BodyTooLarge")
    assert engine.bodies == []


@pytest.mark.parametrize("admission", [Admission.CLOSED, Admission.REFUSING])
async def test_a_shut_gate_reads_no_body(gate: Fixture, admission: Admission) -> None:
    gate.command(admission)
    call = start(gate.gate)
    assert (await call.done()).status == 503
    assert call.inbox.qsize() == 1


async def test_a_full_queue_reads_no_body(gate: Fixture) -> None:
    await admitted(gate)
    await admitted(gate)
    call = start(gate.gate)
    assert (await call.done()).status == 429
    assert call.inbox.qsize() == 1


async def test_a_body_that_does_not_come_is_408(engine: Engine) -> None:
    gate, call = Fixture(engine, max_read_seconds=0.01), Call()
    call.inbox.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    await asyncio.wait_for(gate.gate(scope, call.inbox.get, call.send), 2)
    assert (call.status, error_type(call), call.headers["connection"]) == (408, "RequestTimeout", "close")
    assert gate.report.outcomes == {"client_error": 1}


async def test_bodies_beyond_what_may_be_held_are_429_until_some_are_handed_over(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=1, max_queued=9, max_held_bytes=100)
    running, waiting = [await admitted(gate, b"x" * 80) for _ in range(2)]
    refused = await start(gate.gate, "/v1/completions", b"x" * 80).done()
    assert (refused.status, error_type(refused), refused.headers["retry-after"]) == (429, "BodiesFull", "1")
    assert (gate.report.outcomes, gate.report.rejections) == ({"rejected": 1}, {"BodiesFull": 1})
    await engine.answer(0)
    await running.done()
    await settle()
    await admitted(gate, b"x" * 80)
    assert gate.report.queued == 1
    await engine.answer(1)
    assert (await waiting.done()).status == 200


async def test_whoever_goes_while_waiting_gives_its_bytes_back(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=1, max_queued=9, max_held_bytes=100)
    await admitted(gate)
    gone = await admitted(gate, b"x" * 80)
    gone.disconnect()
    await gone.done()
    await admitted(gate, b"x" * 80)
    assert gate.report.queued == 1


async def test_of_requests_past_the_queue_the_engine_has_four_bodies_at_a_time(engine: Engine) -> None:
    gate = Fixture(engine, max_held_bytes=100)
    calls = [start(gate.gate, "/tokenize", b"x" * 40) for _ in range(6)]
    await settle()
    assert len(engine.bodies) == 4
    # those that wait are held, and what has no body waits for none
    assert (await start(gate.gate, "/tokenize", b"x" * 40).done()).status == 429
    health = start(gate.gate, "/health", b"", method="GET")
    await settle()
    assert len(engine.bodies) == 5
    for n in range(5):
        await engine.answer(n)
    await settle()
    for n in (5, 6):
        await engine.answer(n)
    assert [(await call.done()).status for call in (*calls, health)] == [200] * 7
