"""The line of each request in the log: what it says, and that it says nothing of what a client wrote."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st
from tests.engine.asgi_client import settle, start
from tests.engine.clock import Watch
from tests.engine.gate import CHUNK, DONE, JSON, STREAM, Engine, Fixture, admitted, timed_stream
from tests.engine.test_trace_context import PARENT, SPAN, TRACE

from sluicegate_engine.admission import Admission
from sluicegate_engine.asgi import Receive, Scope, Send
from sluicegate_engine.gate_settings import PRIORITY_HEADER
from sluicegate_engine.journal import FIELDS, START

CANARY = "canary"
FINISH = b'data: {"choices":[{"text":"a","finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":31,"total_tokens":41,"completion_tokens":10,'
    b'"prompt_tokens_details":{"cached_tokens":16}}}\n\n'
)


@pytest.fixture
def timed(engine: Engine, watch: Watch) -> Fixture:
    return Fixture(engine, max_concurrent=1, max_queued=1, clock=watch)


def lines(gate: Fixture) -> list[dict[str, Any]]:
    """Of all requests that have ended; each is one line, as the supervisor knows them, of known fields."""
    found: list[dict[str, Any]] = []
    for line in gate.log:
        assert line.startswith(START.encode())
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        found.append(json.loads(line))
        assert found[-1].keys() <= FIELDS.keys()
        assert list(found[-1]) == [name for name in FIELDS if name in found[-1]]
    return found


async def test_a_stream_has_its_times_tokens_and_ids(timed: Fixture, engine: Engine, watch: Watch) -> None:
    headers = {"X-Request-Id": "order-66", "Traceparent": PARENT.decode()}
    call = await admitted(timed, path="/v1/chat/completions", headers=headers)
    await timed_stream(engine, watch, call, CHUNK, CHUNK, FINISH, USAGE, DONE, tokens=10)
    (line,) = lines(timed)
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "event": "request",
        "id": "order-66",
        "trace": TRACE,
        "version": "v1",
        "route": "/v1/chat/completions",
        "priority": "standard",
        "status": 200,
        "outcome": "served",
        "finish": "stop",
        "stream": True,
        "promptTokens": 31,
        "cachedTokens": 16,
        "outputTokens": 10,
        "readSeconds": 0.0,
        "queueSeconds": 0.0,
        "ttftSeconds": 0.1,
        "tpotSeconds": 0.004444,
        "e2eSeconds": 0.14,
    }


async def test_a_request_has_the_class_that_it_names_and_none_where_there_is_no_such(
    timed: Fixture, engine: Engine
) -> None:
    call = await admitted(timed, headers={PRIORITY_HEADER: "batch"})
    await engine.answer(0, b"{}")
    await call.done()
    await (await admitted(timed, headers={PRIORITY_HEADER: "vip"})).done()
    known, unknown = lines(timed)
    assert known["priority"] == "batch"
    assert (unknown["error"], unknown["outcome"]) == ("UnknownPriority", "client_error")
    assert "priority" not in unknown


async def test_of_an_answer_in_one_piece_no_first_token_is_seen(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    watch.at += 50
    engine.count(0, 3, 40)
    await engine.answer(0, b'{"choices": [{"text": "a", "finish_reason": "length"}]}')
    await call.done()
    (line,) = lines(timed)
    assert (line["finish"], line["promptTokens"], line["outputTokens"]) == ("length", 3, 40)
    assert (line["stream"], line["e2eSeconds"]) == (False, 0.05)
    assert not {"ttftSeconds", "tpotSeconds", "cachedTokens"} & line.keys()


async def test_the_tokens_of_a_stream_are_known_although_its_client_asked_for_no_usage(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, FINISH, DONE, tokens=10)
    (line,) = lines(timed)
    assert (line["promptTokens"], line["outputTokens"]) == (31, 10)
    assert call.body == CHUNK + FINISH + DONE


async def test_of_a_stream_that_breaks_off_the_events_count_and_the_prompt_is_not_guessed(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    await timed_stream(engine, watch, call, CHUNK, CHUNK)
    (line,) = lines(timed)
    assert line["outputTokens"] == 2
    assert "promptTokens" not in line


async def test_reading_and_queueing_have_times_of_their_own(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    first = await admitted(timed)
    second = start(timed.gate)
    second.inbox.get_nowait()
    await settle()
    watch.at += 30
    second.inbox.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
    await settle()
    watch.at += 200
    await engine.answer(0)
    await first.done()
    await settle()
    watch.at += 10
    await engine.answer(1)
    await second.done()
    line = lines(timed)[1]
    assert (line["readSeconds"], line["queueSeconds"], line["e2eSeconds"]) == (0.03, 0.2, 0.21)


async def test_the_version_is_the_one_at_admission(timed: Fixture, engine: Engine) -> None:
    call = await admitted(timed)
    timed.command(Admission.OPEN, "v2")
    await engine.answer(0)
    await call.done()
    assert lines(timed)[0]["version"] == "v1"


async def test_who_is_turned_away_has_a_line(timed: Fixture) -> None:
    for _ in range(2):
        await admitted(timed)
    full = await start(timed.gate).done()
    timed.command(Admission.REFUSING)
    refused = await start(timed.gate).done()
    assert [(line["status"], line["outcome"], line["error"]) for line in lines(timed)] == [
        (429, "rejected", "QueueFull"),
        (503, "rejected", "Unavailable"),
    ]
    assert [line["id"] for line in lines(timed)] == [each.headers["x-request-id"] for each in (full, refused)]
    assert not {"queueSeconds", "e2eSeconds", "stream", "outputTokens"} & lines(timed)[0].keys()


async def test_what_is_too_large_or_asks_for_too_much_has_a_line(timed: Fixture) -> None:
    await start(timed.gate, "/v1/completions", b"x" * 101).done()
    await start(timed.gate, "/v1/completions", b'{"prompt":"a","n":2}').done()
    assert [(line["status"], line["outcome"], line["error"]) for line in lines(timed)] == [
        (413, "client_error", "BodyTooLarge"),
        (400, "client_error", "TooManySequences"),
    ]


async def test_who_goes_while_waiting_or_while_sending_has_a_line(timed: Fixture, watch: Watch) -> None:
    await admitted(timed)
    waiting = await admitted(timed)
    watch.at += 70
    waiting.disconnect()
    await waiting.done()
    sending = start(timed.gate)
    sending.inbox.get_nowait()
    sending.disconnect()
    await sending.done()
    gone, never_whole = lines(timed)
    assert (gone["outcome"], gone["queueSeconds"], gone["e2eSeconds"]) == ("disconnected", 0.07, 0.07)
    assert (never_whole["outcome"], never_whole["readSeconds"]) == ("disconnected", 0.0)
    assert not {"status", "error"} & (gone.keys() | never_whole.keys())
    assert not {"queueSeconds", "e2eSeconds"} & never_whole.keys()


async def test_who_goes_in_a_stream_has_a_line_of_what_there_was() -> None:
    async def stream_until_gone(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        for _ in range(3):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    gate = Fixture(stream_until_gone)
    call = await admitted(gate)
    call.disconnect()
    await call.done()
    (line,) = lines(gate)
    assert (line["outcome"], line["status"], line["outputTokens"]) == ("disconnected", 200, 3)
    assert "finish" not in line


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            b'{"error":{"message":"m","type":"BadRequestError","param":null,"code":400}}',
            "BadRequestError",
        ),
        (404, b'{"error": {"message": "m", "type": "Not Found", "code": 404}}', "Not Found"),
        (500, b'{"error":{"message":"m","type":"InternalServerError"}}', "InternalServerError"),
        (500, b"Internal Server Error", None),
        (500, b'{"error":"m"}', None),
        (500, b'["error"]', None),
        (500, b'{"error":{"type":7}}', None),
    ],
)
async def test_an_error_of_vllm_is_told_by_its_type(
    timed: Fixture, engine: Engine, status: int, body: bytes, kind: str | None
) -> None:
    call = await admitted(timed)
    await engine.answer(0, body, status)
    await call.done()
    (line,) = lines(timed)
    assert (line["status"], line.get("error")) == (status, kind)


async def test_an_engine_that_dies_in_a_stream_is_an_error_of_its_type(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed)
    event = b'data: {"error": {"message": "EngineCore", "type": "InternalServerError", "code": 500}}\n\n'
    await timed_stream(engine, watch, call, CHUNK, event, DONE)
    (line,) = lines(timed)
    assert (line["status"], line["outcome"], line["error"]) == (200, "error", "InternalServerError")


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_aborted_answer_is_an_error(
    timed: Fixture, engine: Engine, watch: Watch, streamed: bool
) -> None:
    call = await admitted(timed)
    aborted = b'{"choices":[{"text":"","finish_reason":"abort"}]}'
    if streamed:
        await timed_stream(engine, watch, call, CHUNK, b"data: " + aborted + b"\n\n", DONE)
    else:
        await engine.answer(0, aborted)
        await call.done()
    (line,) = lines(timed)
    assert (line["outcome"], line["error"], line["finish"]) == ("error", "Aborted", "abort")
    assert line["status"] == (200 if streamed else 503)


async def test_an_exception_of_vllm_has_a_line_before_it_goes_on(timed: Fixture, engine: Engine) -> None:
    call = await admitted(timed)
    engine.error = RuntimeError(CANARY)
    engine.finish[0].set()
    with pytest.raises(RuntimeError):
        await call.done()
    (line,) = lines(timed)
    assert (line["status"], line["outcome"], line["error"]) == (500, "error", "InternalError")


async def test_what_is_no_generation_has_none(timed: Fixture, engine: Engine) -> None:
    await start(timed.gate, f"/{CANARY}").done()
    await start(timed.gate, "/v1/completions", method="GET").done()
    models = await admitted(timed, path="/v1/models", method="GET")
    await engine.answer(0)
    await models.done()
    assert timed.log == []


async def test_without_a_log_there_is_no_line_and_the_answer_has_its_id(engine: Engine) -> None:
    gate = Fixture(engine, request_log=False)
    call = await admitted(gate)
    await engine.answer(0)
    assert len((await call.done()).headers["x-request-id"]) == 32
    assert gate.log == []


async def test_a_log_that_takes_nothing_fails_nobody(engine: Engine) -> None:
    def full(line: bytes) -> None:
        raise BrokenPipeError

    gate = Fixture(engine)
    gate.gate._journal._write = full
    call = await admitted(gate)
    await engine.answer(0)
    assert (await call.done()).status == 200
    assert gate.report.outcomes == {"served": 1}


async def test_an_id_of_the_clients_is_on_the_answer_once(
    timed: Fixture, engine: Engine, watch: Watch
) -> None:
    call = await admitted(timed, headers={"X-Request-Id": "a.b:c_d-1"})
    await engine.say(0, b"{}", headers=[*JSON, (b"X-Request-Id", b"of-vllm")])
    await engine.end(0)
    streamed = await admitted(timed, headers={"X-Request-Id": "s"})
    await timed_stream(engine, watch, streamed, CHUNK, n=1)
    assert [(await each.done()).headers["x-request-id"] for each in (call, streamed)] == ["a.b:c_d-1", "s"]


@pytest.mark.parametrize("given", ["", " a", "a b", 'a"b', "a\r\nx: y", "ä", "-a", "x" * 129])
async def test_what_does_not_look_like_an_id_is_replaced(timed: Fixture, engine: Engine, given: str) -> None:
    call = await admitted(timed, headers={"X-Request-Id": given})
    await engine.answer(0)
    told = (await call.done()).headers["x-request-id"]
    assert (len(told), lines(timed)[0]["id"]) == (32, told)
    assert int(told, 16)


async def test_vllm_is_told_the_ids_that_the_line_has(watch: Watch) -> None:
    seen: list[dict[bytes, bytes]] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        assert len(dict(scope["headers"])) == len(scope["headers"])
        seen.append(dict(scope["headers"]))

    gate = Fixture(look, clock=watch)
    given = {"X-Request-Id": "a", "Traceparent": PARENT.decode(), "Tracestate": "v=1", "Accept": "x"}
    for headers in (given, {"Traceparent": "nonsense", "Tracestate": "v=1"}):
        await start(gate.gate, headers=headers).done()
    assert seen[0] == {
        b"x-request-id": b"a",
        b"traceparent": PARENT,
        b"tracestate": b"v=1",
        b"accept": b"x",
    }
    assert seen[1][b"x-request-id"].decode() == lines(gate)[1]["id"]
    assert seen[1][b"traceparent"].decode()[3:35] == lines(gate)[1]["trace"]
    assert b"tracestate" not in seen[1]
    assert TRACE not in str(seen[1])
    assert SPAN in str(seen[0])


BODIES = [
    {"prompt": CANARY, "user": CANARY, "model": CANARY, CANARY: CANARY},
    {"messages": [{"role": CANARY, "content": CANARY, "name": CANARY}], "metadata": {CANARY: CANARY}},
    {"prompt": f'"finish_reason":"{CANARY}","usage":{{"prompt_tokens":1}}', "stop": [CANARY], "n": CANARY},
    {"tools": [{"type": CANARY, "function": {"name": CANARY}}], "request_id": CANARY, "cache_salt": CANARY},
    [CANARY],
    CANARY,
]
_READ = ("X-Request-Id", "Traceparent", "Tracestate", "Baggage", "User-Agent", "Authorization", "Cookie")
HEADERS = {
    **dict.fromkeys(_READ, f"{CANARY} {CANARY}"),
    f"X-{CANARY}": CANARY,
    "Content-Type": CANARY,
    "X-Forwarded-For": CANARY,
    "Host": CANARY,
}
ANSWERS = [
    (200, f'{{"choices":[{{"text":"{CANARY}","finish_reason":"{CANARY}"}}],"usage":"{CANARY}"}}'),
    (200, json.dumps({"choices": [{"text": f'"finish_reason":"{CANARY}"', "finish_reason": "stop"}]})),
    (200, json.dumps({"kv_transfer_params": {"finish_reason": CANARY, "type": CANARY}})),
    (400, json.dumps({"error": {"message": f'{CANARY}"type":"{CANARY}"', "type": "BadRequestError"}})),
    (400, json.dumps({"error": {"message": CANARY, "type": CANARY, "param": CANARY}})),
    (422, json.dumps({"detail": [{"type": CANARY, "input": {"error": {"type": CANARY}}}]})),
    (500, CANARY),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("status", "answer"), ANSWERS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_nothing_that_a_client_wrote_is_in_a_line(
    engine: Engine, body: object, status: int, answer: str, streamed: bool
) -> None:
    gate = Fixture(engine, max_concurrent=1, max_queued=1, max_body_bytes=1000)
    call = await admitted(gate, json.dumps(body).encode(), headers=HEADERS)
    waiting = await admitted(gate, json.dumps(body).encode(), headers=HEADERS)
    await start(gate.gate, "/v1/completions", json.dumps(body).encode(), headers=HEADERS).done()
    waiting.disconnect()
    await waiting.done()
    if streamed:
        events = [f"data: {answer}\n\n".encode(), f'data: {{"error": {answer}}}\n\n'.encode(), DONE]
        await engine.say(0, *events, status=status, headers=STREAM)
        await engine.end(0)
    else:
        await engine.answer(0, answer.encode(), status)
    await call.done()
    assert [line["outcome"] for line in lines(gate)][:2] == ["rejected", "disconnected"]
    assert len(gate.log) == 3
    assert CANARY.encode() not in b"".join(gate.log).lower()


@generated(st.text(max_size=200), st.lists(st.binary(max_size=200), max_size=4), st.sampled_from([200, 400]))
def test_whatever_is_said_the_line_is_one_of_known_fields(name: str, parts: list[bytes], status: int) -> None:
    async def serve() -> None:
        engine = Engine()
        gate = Fixture(engine)
        call = start(gate.gate, headers={"X-Request-Id": name})
        await settle()
        await engine.say(0, *parts, status=status, headers=STREAM)
        await engine.end(0)
        await call.done()
        (line,) = lines(gate)
        assert line["id"] == call.headers["x-request-id"]
        assert line["id"] == name or int(line["id"], 16)
        assert len(gate.log[0]) < 4096

    asyncio.run(serve())
