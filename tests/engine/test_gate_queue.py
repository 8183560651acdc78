"""What the gate makes of its queue's bounds and classes: who is turned away, until when, and who is first."""

from __future__ import annotations

import json

import pytest
from tests.engine.asgi_client import Call, settle, start
from tests.engine.clock import Watch
from tests.engine.gate import Engine, Fixture, admitted, error_type

from sluicegate_engine.admission import Admission
from sluicegate_engine.gate_settings import PRIORITY_HEADER, VERSION_HEADER


async def asks(gate: Fixture, priority: str, body: bytes = b"{}") -> Call:
    return await admitted(gate, body, headers={PRIORITY_HEADER: priority})


def prompt(tokens: int) -> bytes:
    return json.dumps({"prompt": [7] * tokens}, separators=(",", ":")).encode()


async def test_beyond_the_queue_the_answer_is_429_with_retry_after(gate: Fixture, engine: Engine) -> None:
    await admitted(gate)
    await admitted(gate)
    call = await start(gate.gate).done()
    assert (call.status, error_type(call), call.headers["retry-after"]) == (429, "QueueFull", "1")
    assert call.headers[VERSION_HEADER] == "v1"
    assert (gate.report.outcomes, gate.report.rejections) == ({"rejected": 1}, {"QueueFull": 1})


async def test_retry_after_is_as_long_as_the_queue_has_taken_of_late(engine: Engine) -> None:
    watch = Watch()
    gate = Fixture(engine, max_concurrent=1, max_queued=3, clock=watch)
    for _ in range(4):
        await admitted(gate)
    watch.at += 5000
    await engine.answer(0)
    await settle()
    await admitted(gate)
    # one has left in five seconds, and three wait
    call = await start(gate.gate).done()
    assert (call.status, call.headers["retry-after"]) == (429, "15")


async def test_prompt_tokens_beyond_the_bound_are_429_and_a_short_prompt_still_waits(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=9, max_queued_prompt_tokens=40)
    await admitted(gate)
    await admitted(gate, prompt(30))
    long, short = (
        await start(gate.gate, "/v1/completions", prompt(11)).done(),
        await admitted(gate, prompt(10)),
    )
    assert (long.status, error_type(long), long.headers["retry-after"]) == (429, "QueueFull", "1")
    assert (short.status, gate.report.queued, gate.report.queued_prompt_tokens) == (0, 2, 40)
    assert (gate.report.outcomes, gate.report.rejections) == ({"rejected": 1}, {"QueueFull": 1})


async def test_a_client_that_goes_while_waiting_frees_its_tokens(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=9, max_queued_prompt_tokens=40)
    await admitted(gate)
    gone = await admitted(gate, prompt(40))
    gone.disconnect()
    await gone.done()
    assert gate.report.queued_prompt_tokens == 0
    await admitted(gate, prompt(40))
    assert (gate.report.queued, gate.report.queued_prompt_tokens) == (1, 40)


async def test_while_the_gate_holds_tokens_beyond_the_bound_are_503(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=9, max_queued_prompt_tokens=40)
    gate.command(Admission.HOLDING)
    call = await start(gate.gate, "/v1/completions", prompt(41)).done()
    assert (call.status, error_type(call), call.headers["retry-after"]) == (503, "Unavailable", "2")


async def test_the_class_that_a_request_names_decides_who_of_the_waiting_is_first(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=9)
    await admitted(gate)
    for name in ("batch", "standard", "interactive"):
        await asks(gate, name, json.dumps(name).encode())
    await admitted(gate, b'"none"')
    for n in range(4):
        await engine.answer(n)
        await settle()
    assert engine.bodies == [b"{}", b'"interactive"', b'"standard"', b'"none"', b'"batch"']


async def test_a_lower_class_over_its_share_gives_its_newest_place_away_with_a_429(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=13)
    await admitted(gate)
    batch = [await asks(gate, "batch") for _ in range(13)]
    await asks(gate, "interactive")
    last = await batch[-1].done()
    assert (last.status, error_type(last), "retry-after" in last.headers) == (429, "QueueFull", True)
    assert ([call.status for call in batch[:-1]], gate.report.queued) == ([0] * 12, 13)
    assert (gate.report.outcomes, gate.report.rejections) == ({"rejected": 1}, {"QueueFull": 1})


async def test_whose_class_has_a_place_is_read_although_others_are_turned_away(engine: Engine) -> None:
    gate = Fixture(engine, max_queued=13)
    for _ in range(14):
        await admitted(gate)
    refused = await start(gate.gate, headers={PRIORITY_HEADER: "standard"}).done()
    taken = await asks(gate, "batch")
    assert (refused.status, refused.inbox.qsize(), taken.status) == (429, 1, 0)


@pytest.mark.parametrize("named", ["urgent", "Batch", "batch ", "1"])
async def test_a_class_that_does_not_exist_is_400_and_says_which_do(
    gate: Fixture, engine: Engine, named: str
) -> None:
    call = await start(gate.gate, headers={PRIORITY_HEADER: named}).done()
    assert (call.status, error_type(call), call.inbox.qsize()) == (400, "UnknownPriority", 1)
    assert b"x-sluicegate-priority: the priority is one of interactive, standard, batch" in call.body
    assert call.headers[VERSION_HEADER] == "v1"
    assert (engine.bodies, gate.report.outcomes) == ([], {"client_error": 1})
