"""The line between supervisor and gate, over a real socket, whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sluicegate_engine.admission import Admission
from sluicegate_engine.link import Command, GateLink, OrderFailedError, Report, SupervisorLink


class GateEnd:
    """A gate that only remembers what it was told, and reports that."""

    def __init__(self, path: Path) -> None:
        self.report = Report(Admission.CLOSED, "")
        self.measured: dict[str, object] = {}
        self.lost = asyncio.Event()
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.ordered, self.answer = asyncio.Event(), asyncio.Event()
        self.link = GateLink(path, self.obey, lambda: self.report, lambda: self.measured, self.carry_out)
        self.task = asyncio.create_task(self.link.run())

    def obey(self, command: Command | None) -> None:
        if command is None:
            self.lost.set()
        else:
            self.report = Report(
                command.admission, command.version, 3, 2, {"served": 5}, {"QueueFull": 4}, 700
            )

    async def carry_out(self, name: str, arguments: Mapping[str, Any]) -> object:
        """Answers with how many orders came before, when the test lets it; "fail" raises."""
        self.orders.append((name, dict(arguments)))
        count = len(self.orders)
        self.ordered.set()
        await self.answer.wait()
        if name == "fail":
            raise ValueError("no such thing")
        return count

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


async def has(link: SupervisorLink, admission: Admission) -> Report:
    return await asyncio.wait_for(link.wait_until(lambda r: r.admission is admission), 5)


async def until_measured(link: SupervisorLink, measured: dict[str, object]) -> None:
    async with asyncio.timeout(5):
        while True:
            if link.measured == measured:
                return
            await asyncio.sleep(0)


async def test_the_gate_learns_the_state_when_it_connects_and_every_change_after(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.CLOSED, "v1"))
    link.send(Command(Admission.OPEN, "v2"))
    server = await link.listen(tmp_path / "s")
    gate = GateEnd(tmp_path / "s")
    expected = Report(Admission.OPEN, "v2", 3, 2, {"served": 5}, {"QueueFull": 4}, 700)
    assert await has(link, Admission.OPEN) == expected
    link.send(Command(Admission.DRAINING, "v2"))
    await has(link, Admission.DRAINING)
    await gate.stop()
    server.close()


async def test_a_gate_that_comes_first_waits_for_the_supervisor(tmp_path: Path) -> None:
    gate = GateEnd(tmp_path / "s")
    await asyncio.wait_for(gate.lost.wait(), 5)
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    server = await link.listen(tmp_path / "s")
    await has(link, Admission.OPEN)
    await gate.stop()
    server.close()


async def test_changes_are_reported_without_being_asked(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    server = await link.listen(tmp_path / "s")
    gate = GateEnd(tmp_path / "s")
    await has(link, Admission.OPEN)
    for count in range(1, 200):
        gate.report = Report(Admission.OPEN, "v1", in_flight=count)
        gate.link.changed()
    await asyncio.wait_for(link.wait_until(lambda r: r.in_flight == 199), 5)
    await gate.stop()
    server.close()


async def test_the_last_report_outlives_the_gate(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    server = await link.listen(tmp_path / "s")
    gate = GateEnd(tmp_path / "s")
    await has(link, Admission.OPEN)
    await gate.stop()
    assert link.report is not None
    assert link.report.outcomes == {"served": 5}
    server.close()


async def test_measurements_arrive_beside_reports_however_long_they_are(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    gate = GateEnd(tmp_path / "s")
    gate.measured = {"v1": {"latencyMicroseconds": [[n, 1] for n in range(60_000)]}}
    server = await link.listen(tmp_path / "s")
    await until_measured(link, gate.measured)
    assert await has(link, Admission.OPEN) == gate.report
    await gate.stop()
    server.close()


async def test_each_order_gets_its_own_answer_in_whatever_order_they_come(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    server = await link.listen(tmp_path / "s")
    gate = GateEnd(tmp_path / "s")
    await has(link, Admission.OPEN)
    calls = [asyncio.create_task(link.order(name, {"n": name})) for name in ("one", "fail", "two")]
    await asyncio.sleep(0)
    gate.answer.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert (answers[0], answers[2]) == (1, 3)
    assert isinstance(answers[1], OrderFailedError)
    assert "no such thing" in str(answers[1])
    assert gate.orders == [(name, {"n": name}) for name in ("one", "fail", "two")]
    await gate.stop()
    server.close()


async def test_an_order_fails_when_the_gate_is_not_there_or_goes(tmp_path: Path) -> None:
    link = SupervisorLink(Command(Admission.OPEN, "v1"))
    with pytest.raises(OrderFailedError):
        await link.order("one", {})
    server = await link.listen(tmp_path / "s")
    gate = GateEnd(tmp_path / "s")
    await has(link, Admission.OPEN)
    call = asyncio.create_task(link.order("one", {}))
    await asyncio.wait_for(gate.ordered.wait(), 5)
    await gate.stop()
    with pytest.raises(OrderFailedError):
        await asyncio.wait_for(call, 5)
    server.close()
