"""The gate: who passes, who waits, and what every answer says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.engine.asgi_client import settle, start
from tests.engine.gate import CHUNK, JSON, KEY, STREAM, Engine, Fixture, admitted, error_type

from sluicegate_engine.admission import Admission
from sluicegate_engine.asgi import Receive, Scope, Send
from sluicegate_engine.gate_settings import KEY_HEADER, VERSION_HEADER
from sluicegate_engine.reload.engine_orders import QUIET


async def test_an_answer_passes_with_the_version_on_it(gate: Fixture, engine: Engine) -> None:
    call = start(gate.gate, "/v1/completions", b'{"pro', b'mpt":1}')
    await settle()
    await engine.answer(0, b'{"id":1}')
    await call.done()
    assert engine.bodies == [b'{"prompt":1}']
    assert (call.status, call.body, call.whole) == (200, b'{"id":1}', True)
    assert call.headers[VERSION_HEADER] == "v1"
    assert "connection" not in call.headers
    assert gate.report.outcomes == {"served": 1}


async def test_a_client_cannot_choose_the_version_header(gate: Fixture, engine: Engine) -> None:
    call = await admitted(gate)
    await engine.say(0, b"{}", headers=[*JSON, (b"X-Sluicegate-Model-Version", b"forged")])
    await engine.end(0)
    assert (await call.done()).headers[VERSION_HEADER] == "v1"


async def test_the_version_is_the_one_at_admission(gate: Fixture, engine: Engine) -> None:
    first, second = await admitted(gate), await admitted(gate)
    gate.command(Admission.OPEN, "v2")
    await engine.answer(0)
    await settle()
    await engine.answer(1)
    assert (await first.done()).headers[VERSION_HEADER] == "v1"
    assert (await second.done()).headers[VERSION_HEADER] == "v2"


async def test_requests_beyond_the_bound_wait_and_then_run_in_order(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=1, max_queued=2)
    calls = [start(gate.gate, "/v1/completions", str(n).encode()) for n in range(3)]
    await settle()
    assert (engine.bodies, gate.report.in_flight, gate.report.queued) == ([b"0"], 1, 2)
    for n in range(3):
        await engine.answer(n)
        await calls[n].done()
        await settle()
    assert engine.bodies == [b"0", b"1", b"2"]
    assert (gate.report.in_flight, gate.report.queued) == (0, 0)


async def test_what_takes_many_places_in_the_engine_waits_for_them(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=2, max_queued=2)
    running, heavy = await admitted(gate), await admitted(gate, b'{"prompt":["a","b"]}')
    assert (gate.report.in_flight, gate.report.queued) == (1, 1)
    await engine.answer(0)
    await running.done()
    await settle()
    assert (gate.report.in_flight, gate.report.queued) == (1, 0)
    await engine.answer(1)
    assert (await heavy.done()).status == 200


async def test_more_sequences_than_the_engine_computes_at_a_time_are_400(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=2)
    call = await start(gate.gate, "/v1/completions", b'{"prompt":"a","n":3}').done()
    assert (call.status, error_type(call)) == (400, "TooManySequences")
    assert call.headers[VERSION_HEADER] == "v1"
    assert (engine.bodies, gate.report.outcomes) == ([], {"client_error": 1})


@pytest.mark.parametrize("admission", [Admission.CLOSED, Admission.REFUSING])
async def test_when_nobody_is_let_in_the_answer_is_503(gate: Fixture, admission: Admission) -> None:
    gate.command(admission)
    call = await start(gate.gate).done()
    assert (call.status, error_type(call), call.headers["retry-after"]) == (503, "Unavailable", "2")
    assert (call.headers[VERSION_HEADER], call.headers["connection"]) == ("v1", "close")


async def test_without_a_supervisor_nobody_is_let_in(gate: Fixture) -> None:
    gate.lose_supervisor()
    assert (await start(gate.gate).done()).status == 503


async def test_while_draining_answers_ask_to_connect_elsewhere(gate: Fixture, engine: Engine) -> None:
    gate.command(Admission.DRAINING)
    call = await admitted(gate)
    await engine.answer(0)
    assert ((await call.done()).status, call.headers["connection"]) == (200, "close")


async def test_refusing_lets_those_that_wait_finish(gate: Fixture, engine: Engine) -> None:
    running, waiting = await admitted(gate), await admitted(gate)
    gate.command(Admission.REFUSING)
    await engine.answer(0)
    await running.done()
    await settle()
    await engine.answer(1)
    assert (await waiting.done()).status == 200


async def test_closing_answers_those_that_wait_with_503(gate: Fixture, engine: Engine) -> None:
    running, waiting = await admitted(gate), await admitted(gate)
    gate.command(Admission.CLOSED)
    assert (await waiting.done()).status == 503
    assert gate.report.in_flight == 1
    await engine.answer(0)
    assert (await running.done()).status == 200


async def test_a_client_that_goes_while_waiting_frees_its_place(gate: Fixture, engine: Engine) -> None:
    await admitted(gate)
    waiting = await admitted(gate)
    waiting.disconnect()
    await waiting.done()
    assert (gate.report.queued, gate.report.outcomes) == (0, {"disconnected": 1})
    last = await admitted(gate)
    await engine.answer(0)
    await settle()
    await engine.answer(1)
    assert (await last.done()).status == 200


async def test_a_stream_is_in_flight_until_its_last_byte(gate: Fixture, engine: Engine) -> None:
    call = await admitted(gate)
    await engine.say(0, CHUNK, headers=STREAM)
    await call.until_progress()
    assert (call.body, call.headers[VERSION_HEADER], gate.report.in_flight) == (CHUNK, "v1", 1)
    await engine.end(0)
    await call.done()
    assert (gate.report.in_flight, gate.report.outcomes) == (0, {"served": 1})


async def test_a_client_that_leaves_its_stream_is_seen_by_the_engine(gate: Fixture) -> None:
    async def stream_until_gone(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        assert (await receive())["type"] == "http.disconnect"

    fixture = Fixture(stream_until_gone)
    call = await admitted(fixture)
    call.disconnect()
    await call.done()
    assert (fixture.report.in_flight, fixture.report.outcomes) == (0, {"disconnected": 1})


async def test_a_client_that_goes_after_waiting_is_seen_by_the_engine(gate: Fixture) -> None:
    seen: list[str] = []
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])
        await gone.wait()
        if len(seen) == 2:
            seen.append((await receive())["type"])

    fixture = Fixture(app)
    await admitted(fixture)
    second = await admitted(fixture)
    gone.set()
    await settle()
    second.disconnect()
    await second.done()
    assert seen == ["http.request", "http.request", "http.disconnect"]


async def test_a_stream_with_an_error_event_counts_as_an_error(gate: Fixture, engine: Engine) -> None:
    event = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
    call = await admitted(gate)
    await engine.say(0, CHUNK, event, b"data: [DONE]\n\n", headers=STREAM)
    await engine.end(0)
    assert (await call.done()).status == 200
    assert event in call.body
    assert gate.report.outcomes == {"error": 1}


async def test_text_that_looks_like_an_error_event_is_no_error(gate: Fixture, engine: Engine) -> None:
    text = json.dumps({"choices": [{"text": '\ndata: {"error": 1}, "finish_reason":"abort"'}]})
    call = await admitted(gate)
    await engine.say(0, f"data: {text}\n\n".encode(), headers=STREAM)
    await engine.end(0)
    await call.done()
    assert gate.report.outcomes == {"served": 1}


async def test_an_aborted_answer_is_an_error_and_no_200(gate: Fixture, engine: Engine) -> None:
    call = await admitted(gate)
    await engine.answer(0, b'{"choices":[{"text":"","finish_reason":"abort"}]}')
    await call.done()
    assert (call.status, error_type(call), call.starts) == (503, "Aborted", 1)
    assert call.headers[VERSION_HEADER] == "v1"
    assert gate.report.outcomes == {"error": 1}


async def test_an_aborted_stream_ends_with_an_error_event(gate: Fixture, engine: Engine) -> None:
    call = await admitted(gate)
    await engine.say(0, CHUNK, b'data: {"choices":[{"finish_reason":"abort"}]}\n\n', headers=STREAM)
    await engine.end(0)
    await call.done()
    assert call.body.startswith(CHUNK + b'data: {"error"')
    assert b'finish_reason":"abort' not in call.body
    assert gate.report.outcomes == {"error": 1}


@pytest.mark.parametrize(("status", "outcome"), [(400, "client_error"), (500, "error"), (201, "served")])
async def test_outcomes_follow_the_status(gate: Fixture, engine: Engine, status: int, outcome: str) -> None:
    call = await admitted(gate)
    await engine.answer(0, status=status)
    assert (await call.done()).headers[VERSION_HEADER] == "v1"
    assert gate.report.outcomes == {outcome: 1}


async def test_what_vllm_fails_to_handle_is_a_500_with_the_version(gate: Fixture, engine: Engine) -> None:
    engine.error = RuntimeError("cannot schedule new futures after shutdown")
    call = await admitted(gate)
    engine.finish[0].set()
    with pytest.raises(RuntimeError):
        await call.done()
    assert (call.status, error_type(call), call.whole) == (500, "InternalError", True)
    assert call.headers[VERSION_HEADER] == "v1"
    assert (gate.report.in_flight, gate.report.outcomes) == (0, {"error": 1})


async def test_an_answer_that_fails_between_head_and_body_is_a_500(gate: Fixture, engine: Engine) -> None:
    engine.error = RuntimeError("broken")
    call = await admitted(gate)
    await engine.say(0)
    engine.finish[0].set()
    with pytest.raises(RuntimeError):
        await call.done()
    assert (call.status, call.starts, gate.report.outcomes) == (500, 1, {"error": 1})


async def test_a_stream_that_breaks_off_is_not_called_whole(gate: Fixture, engine: Engine) -> None:
    engine.error = RuntimeError("broken")
    call = await admitted(gate)
    await engine.say(0, CHUNK, headers=STREAM)
    engine.finish[0].set()
    with pytest.raises(RuntimeError):
        await call.done()
    assert (call.starts, call.whole) == (1, False)
    assert gate.report.outcomes == {"error": 1}


async def test_cheap_routes_pass_a_closed_gate_and_take_no_place(gate: Fixture, engine: Engine) -> None:
    gate.command(Admission.CLOSED)
    call = await admitted(gate, path="/v1/models", method="GET")
    assert gate.report.in_flight == 0
    await engine.answer(0)
    assert ((await call.done()).status, call.headers[VERSION_HEADER]) == (200, "v1")
    assert gate.report.outcomes == {}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/scale_elastic_ep", 404), ("GET", "/metrics", 404), ("GET", "/v1/completions", 405)],
)
async def test_what_is_not_allowed_never_reaches_vllm(
    gate: Fixture, engine: Engine, method: str, path: str, status: int
) -> None:
    call = await start(gate.gate, path, method=method).done()
    assert (call.status, call.headers[VERSION_HEADER]) == (status, "v1")
    assert engine.bodies == []


async def test_the_supervisor_passes_the_closed_gate_with_its_key(gate: Fixture, engine: Engine) -> None:
    gate.command(Admission.CLOSED)
    call = await admitted(gate, headers={KEY_HEADER: KEY})
    await engine.answer(0)
    assert (await call.done()).status == 200
    assert (gate.report.outcomes, gate.report.in_flight) == ({}, 0)


async def test_a_wrong_key_opens_nothing(gate: Fixture) -> None:
    gate.command(Admission.CLOSED)
    assert (await start(gate.gate, headers={KEY_HEADER: KEY + "x"}).done()).status == 503
    assert (await start(gate.gate, "/metrics", method="GET", headers={KEY_HEADER: ""}).done()).status == 404


async def test_websockets_are_refused(gate: Fixture) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await gate.gate({"type": "websocket", "path": "/v1/realtime", "headers": []}, asyncio.Queue().get, send)
    assert [message["type"] for message in said] == ["websocket.close"]


async def test_a_held_request_is_answered_by_the_version_that_it_is_let_in_to(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=1, max_queued=1)
    first = await admitted(gate)
    gate.command(Admission.HOLDING)
    held, beyond = await admitted(gate), await admitted(gate)
    await engine.answer(0)
    assert (await first.done()).headers[VERSION_HEADER] == "v1"
    assert "connection" not in first.headers
    await settle()
    assert (len(engine.bodies), beyond.status, beyond.headers["retry-after"]) == (1, 503, "2")
    assert "connection" not in beyond.headers
    gate.command(Admission.OPEN, "v2")
    await settle()
    await engine.answer(1)
    assert (await held.done()).headers[VERSION_HEADER] == "v2"


async def test_the_gate_tells_once_nothing_is_in_flight(engine: Engine) -> None:
    gate = Fixture(engine, max_concurrent=2, max_queued=1)
    calls = [await admitted(gate) for _ in range(2)]
    gate.command(Admission.HOLDING)
    held = await admitted(gate)
    quiet = asyncio.create_task(gate.gate._carry_out(QUIET, {}))
    for n, call in enumerate(calls):
        await settle()
        assert not quiet.done()
        await engine.answer(n)
        await call.done()
    await settle()
    assert quiet.done()
    await gate.gate._carry_out(QUIET, {})
    held.disconnect()
    await held.done()
