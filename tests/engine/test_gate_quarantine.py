"""What the gate notes of those who are with the engine, and what it tells those in quarantine."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.engine.asgi_client import settle
from tests.engine.clock import Watch
from tests.engine.gate import Engine, Fixture, admitted

from sluicegate_engine.admission import Admission
from sluicegate_engine.asgi import App, Receive, Scope, Send
from sluicegate_engine.fingerprint import fingerprint, new_key
from sluicegate_engine.roster import Attendance, read, size_of

KEY = new_key()
ROUTE = "/v1/completions"
_SIZE = size_of(2, 1)
KILLER, OTHER = b'{"prompt":"killer"}', b'{"prompt":"other"}'


def known_by(body: bytes) -> str:
    return fingerprint(KEY, ROUTE, body, json.loads(body))


class Shared:
    """The memory of a roster, and gates that write into it."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("roster")
        os.truncate(self._descriptor, _SIZE)

    def gate(self, app: App, deaths: int = 2, **more: Any) -> Fixture:
        """A gate that has heard of so many deaths with the killer in the engine."""
        known = {"suspects": {known_by(KILLER): (deaths, 0)}, "fingerprint_key": KEY}
        return Fixture(app, roster=self._descriptor, **known, **more)

    def read(self) -> Attendance:
        with mmap.mmap(self._descriptor, _SIZE) as memory:
            return read(memory)

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def shared() -> Iterator[Shared]:
    memory = Shared()
    yield memory
    memory.close()


async def test_who_is_quarantined_is_told_what_why_and_what_to_do_and_not_to_try_again(
    shared: Shared, engine: Engine
) -> None:
    gate = shared.gate(engine)
    call = await (await admitted(gate, KILLER)).done()
    assert call.status == 422
    assert "retry-after" not in call.headers
    assert json.loads(call.body)["error"] == {
        "message": "the engine of this replica died 2 times or more with this very request in it and never "
        "answered it; it is refused for 600 seconds: send another one",
        "type": "Quarantined",
        "param": None,
        "code": 422,
    }
    assert engine.bodies == []
    assert (gate.report.rejections, gate.report.outcomes) == ({"Quarantined": 1}, {"rejected": 1})
    line = json.loads(gate.log[0])
    assert (line["status"], line["outcome"], line["error"]) == (422, "rejected", "Quarantined")


async def test_another_try_of_it_as_a_stream_is_refused_too_and_another_request_is_not(
    shared: Shared, engine: Engine
) -> None:
    gate = shared.gate(engine)
    again = await (await admitted(gate, b'{"stream":true,"prompt":"killer"}')).done()
    assert again.status == 422
    call = await admitted(gate, OTHER)
    await engine.answer(0)
    assert (await call.done()).status == 200


async def test_whoever_is_with_the_engine_is_noted_and_whoever_waits_is_not(
    shared: Shared, engine: Engine
) -> None:
    gate = shared.gate(engine, deaths=1)
    first, second = await admitted(gate, KILLER), await admitted(gate, OTHER)
    assert shared.read().present == {known_by(KILLER)}
    await engine.answer(0)
    await first.done()
    await settle()
    assert shared.read().present == {known_by(OTHER)}
    await engine.answer(1)
    await second.done()
    assert shared.read() == (set(), {known_by(KILLER)})


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_clears_a_suspect(shared: Shared, engine: Engine, status: int) -> None:
    gate = shared.gate(engine, quarantine_seconds=0)
    first, second = await admitted(gate, KILLER), await admitted(gate, KILLER)
    assert (await second.done()).status == 422, "one at a time"
    await engine.answer(0, status=status)
    await first.done()
    assert shared.read() == (set(), {known_by(KILLER)})
    third = await admitted(gate, KILLER)
    await engine.answer(1)
    assert (await third.done()).status == 200


@pytest.mark.parametrize("how", ["error", "gone"])
async def test_without_an_answer_it_stays_one(shared: Shared, engine: Engine, how: str) -> None:
    gate = shared.gate(engine, quarantine_seconds=0)
    call = await admitted(gate, KILLER)
    if how == "gone":
        call.disconnect()
        engine.finish[0].set()
    else:
        await engine.answer(0, status=500)
    await call.done()
    assert shared.read() == ({known_by(KILLER)}, set())


async def test_who_goes_while_it_waits_makes_room_for_the_next_trial(shared: Shared, engine: Engine) -> None:
    gate = shared.gate(engine, quarantine_seconds=0)
    first, waits = await admitted(gate, OTHER), await admitted(gate, KILLER)
    waits.disconnect()
    await waits.done()
    await engine.answer(0)
    await first.done()
    call = await admitted(gate, KILLER)
    await engine.answer(1)
    assert (await call.done()).status == 200


async def test_the_time_of_a_quarantine_counts_from_when_the_engine_is_up(
    shared: Shared, engine: Engine, watch: Watch
) -> None:
    gate = shared.gate(engine, quarantine_seconds=60, clock=watch)
    watch.at = 59_999
    assert (await (await admitted(gate, KILLER)).done()).status == 422
    watch.at = 60_000
    call = await admitted(gate, KILLER)
    await engine.answer(0)
    assert (await call.done()).status == 200


async def test_who_waits_for_an_engine_that_dies_is_told_to_try_again_and_is_no_suspect(
    shared: Shared, engine: Engine
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await engine(scope, receive, send)

    async def unused(*message: object) -> Any:
        raise AssertionError("this application needs nothing")

    client = SimpleNamespace(errored=False)
    vllm = SimpleNamespace(state=SimpleNamespace(engine_client=client))
    gate = shared.gate(application, max_concurrent=1)
    await gate.gate({"type": "lifespan", "app": vllm}, unused, unused)
    gate.command(Admission.OPEN)
    await admitted(gate, KILLER[:-1] + b',"n":1}')
    waits = await admitted(gate, OTHER)
    # when
    client.errored = True
    await engine.answer(0)
    # then
    call = await waits.done()
    assert (call.status, call.headers["retry-after"]) == (503, "2")
    assert len(engine.bodies) == 1
    assert known_by(OTHER) not in shared.read().present
