"""The line between the supervisor and the gate inside vLLM: newline-separated JSON over a Unix socket.

The supervisor listens, since it is there first; the gate connects and tries again for as long as it lives.
Each side sends its whole state, never a difference, so a lost or doubled message does no harm.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sluicegate_engine.admission import Admission

_RETRY_SECONDS = 0.1
_COALESCE_SECONDS = 0.01
"""Under load changes come in thousands a second; this is how many reports of them a second are enough."""


@dataclass(frozen=True)
class Command:
    """What the gate shall do, and the version that it stamps on answers."""

    admission: Admission
    version: str

    def encode(self) -> bytes:
        return _line({"admission": self.admission, "version": self.version})

    @staticmethod
    def decode(line: bytes) -> Command:
        data = json.loads(line)
        return Command(Admission(data["admission"]), data["version"])


@dataclass(frozen=True)
class Report:
    """What the gate does: counts of now, and totals by outcome and by reason of rejection."""

    admission: Admission
    version: str
    in_flight: int = 0
    queued: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rejections: Mapping[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        return _line(
            {
                "admission": self.admission,
                "version": self.version,
                "inFlight": self.in_flight,
                "queued": self.queued,
                "outcomes": dict(self.outcomes),
                "rejections": dict(self.rejections),
            }
        )

    @staticmethod
    def decode(line: bytes) -> Report:
        data = json.loads(line)
        return Report(
            Admission(data["admission"]),
            data["version"],
            data["inFlight"],
            data["queued"],
            data["outcomes"],
            data["rejections"],
        )


class SupervisorLink:
    """The supervisor's end. `report` is the gate's last word, kept after the gate is gone."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Condition()
        self.report: Report | None = None

    async def listen(self, path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._converse, path)

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

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(self._command.encode())
        try:
            async for line in reader:
                async with self._changed:
                    self.report = Report.decode(line)
                    self._changed.notify_all()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()


class GateLink:
    """The gate's end: obeys commands, reports after every change, closes the gate while nobody commands."""

    def __init__(
        self, path: Path, obey: Callable[[Command | None], None], report: Callable[[], Report]
    ) -> None:
        self._path = path
        self._obey = obey
        self._report = report
        self._dirty = asyncio.Event()

    def changed(self) -> None:
        """Say that there is something new to report."""
        self._dirty.set()

    async def run(self) -> None:
        """Stay connected until cancelled. `obey` gets None whenever the supervisor is lost."""
        while True:
            with suppress(OSError):
                await self._converse()
            self._obey(None)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _converse(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        sender = asyncio.create_task(self._send_reports(writer))
        try:
            async for line in reader:
                self._obey(Command.decode(line))
                self.changed()
        finally:
            sender.cancel()
            writer.close()

    async def _send_reports(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                writer.write(self._report().encode())
                await writer.drain()
                await asyncio.sleep(_COALESCE_SECONDS)


def _line(data: Mapping[str, object]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"
