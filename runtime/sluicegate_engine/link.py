"""The line between the supervisor and the gate inside vLLM: newline-separated JSON over a Unix socket.

The supervisor listens, since it is there first; the gate connects and tries again for as long as it lives.
Each side sends its whole state, never a difference, so a lost or doubled message does no harm. Beside that
the supervisor gives orders, each of which is answered once; when the line is lost, so are the answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sluicegate_engine.admission import Admission

_RETRY_SECONDS = 0.1
_COALESCE_SECONDS = 0.01
"""Under load changes come in thousands a second; this is how many reports of them a second are enough."""
_MEASURE_SECONDS = 1.0
"""Measurements are long, and nobody is in a hurry for them."""
_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Command:
    """What the gate shall do, and the version that it stamps on answers."""

    admission: Admission
    version: str

    def encode(self) -> bytes:
        return _line({"admission": self.admission, "version": self.version})

    @staticmethod
    def decode(data: Mapping[str, Any]) -> Command:
        return Command(Admission(data["admission"]), data["version"])


@dataclass(frozen=True)
class Report:
    """What the gate does: counts of now, and totals by outcome and by reason of rejection.

    `lost_traces`: how many of its traces no collector has taken.
    """

    admission: Admission
    version: str
    in_flight: int = 0
    queued: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rejections: Mapping[str, int] = field(default_factory=dict)
    queued_prompt_tokens: int = 0
    lost_traces: int = 0

    def encode(self) -> bytes:
        return _line(
            {
                "admission": self.admission,
                "version": self.version,
                "inFlight": self.in_flight,
                "queued": self.queued,
                "outcomes": dict(self.outcomes),
                "rejections": dict(self.rejections),
                "queuedPromptTokens": self.queued_prompt_tokens,
                "lostTraces": self.lost_traces,
            }
        )

    @staticmethod
    def decode(data: Mapping[str, Any]) -> Report:
        return Report(
            Admission(data["admission"]),
            data["version"],
            data["inFlight"],
            data["queued"],
            data["outcomes"],
            data["rejections"],
            data["queuedPromptTokens"],
            data["lostTraces"],
        )


class OrderFailedError(ConnectionError):
    """An order was not carried out, or nobody knows whether it was."""


class SupervisorLink:
    """The supervisor's end. `report` is the gate's last word, kept after the gate is gone.

    So is `measured`, by model version, which is passed on as it is.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Condition()
        self._numbers = count(1)
        self._orders: dict[int, asyncio.Future[Any]] = {}
        self.report: Report | None = None
        self.measured: Mapping[str, object] = {}

    async def listen(self, path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._converse, path, limit=_LINE_BYTES)

    def send(self, command: Command) -> None:
        """Tell the gate, now or when it connects."""
        self._command = command
        if self._writer is not None:
            self._writer.write(command.encode())

    async def wait_until(self, holds: Callable[[Report], bool]) -> Report:
        """Wait for a report of which `holds` is true."""
        async with self._changed:
            while self.report is None or not holds(self.report):
                await self._changed.wait()
            return self.report

    async def order(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Have the gate do something, and return its answer. Raises OrderFailedError."""
        if self._writer is None:
            raise OrderFailedError(f"{name}: the engine's server is not there")
        number = next(self._numbers)
        answer = self._orders[number] = asyncio.get_running_loop().create_future()
        self._writer.write(_line({"order": number, "name": name, "arguments": arguments}))
        try:
            return await answer
        finally:
            del self._orders[number]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(self._command.encode())
        try:
            async for line in reader:
                await self._hear(json.loads(line))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            if self._writer is writer:
                self._writer = None
                self._give_up_orders()
            writer.close()

    def _give_up_orders(self) -> None:
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(OrderFailedError("the engine's server was lost meanwhile"))

    def _take_answer(self, said: Mapping[str, Any]) -> None:
        answer = self._orders.get(said["answered"])
        if answer is None or answer.done():
            return
        if "failed" in said:
            answer.set_exception(OrderFailedError(said["failed"]))
        else:
            answer.set_result(said["result"])

    async def _hear(self, said: Mapping[str, Any]) -> None:
        if "measured" in said:
            self.measured = said["measured"]
            return
        if "answered" in said:
            self._take_answer(said)
            return
        async with self._changed:
            self.report = Report.decode(said)
            self._changed.notify_all()


class GateLink:
    """The gate's end: obeys commands, reports after every change, closes the gate while nobody commands."""

    def __init__(
        self,
        path: Path,
        obey: Callable[[Command | None], None],
        report: Callable[[], Report],
        measured: Callable[[], Mapping[str, object]],
        carry_out: Callable[[str, Mapping[str, Any]], Awaitable[Any]],
    ) -> None:
        self._path = path
        self._obey = obey
        self._report = report
        self._measured = measured
        self._carry_out = carry_out
        self._under_way: set[asyncio.Task[None]] = set()
        self._to_report = asyncio.Event()
        self._to_measure = asyncio.Event()

    def changed(self) -> None:
        """Say that there is something new to report."""
        self._to_report.set()
        self._to_measure.set()

    async def run(self) -> None:
        """Stay connected until cancelled. `obey` gets None whenever the supervisor is lost."""
        while True:
            with suppress(OSError):
                await self._converse()
            self._obey(None)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _converse(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        senders = (
            asyncio.create_task(_tell(writer, self._to_report, self._say_report, _COALESCE_SECONDS)),
            asyncio.create_task(_tell(writer, self._to_measure, self._say_measured, _MEASURE_SECONDS)),
        )
        try:
            async for line in reader:
                self._hear(json.loads(line), writer)
        finally:
            for sender in senders:
                sender.cancel()
            writer.close()

    def _hear(self, said: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        if "order" in said:
            # Not ended with the line: the engine would go on with it all the same.
            task = asyncio.create_task(self._answer(said, writer))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        else:
            self._obey(Command.decode(said))
            self.changed()

    async def _answer(self, said: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        answer: dict[str, object] = {"answered": said["order"]}
        try:
            answer["result"] = await self._carry_out(said["name"], said["arguments"])
        except Exception as error:
            answer["failed"] = f"{said['name']}: {type(error).__name__}: {error}"
        writer.write(_line(answer))

    def _say_report(self) -> bytes:
        return self._report().encode()

    def _say_measured(self) -> bytes:
        return _line({"measured": self._measured()})


async def _tell(
    writer: asyncio.StreamWriter, news: asyncio.Event, say: Callable[[], bytes], pause: float
) -> None:
    with suppress(ConnectionError):
        while True:
            await news.wait()
            news.clear()
            writer.write(say())
            await writer.drain()
            await asyncio.sleep(pause)


def _line(data: Mapping[str, object]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"
