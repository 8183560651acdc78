"""What the operator should not log: tracebacks and errors ever, warnings where nothing went wrong."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any


class Hygiene(logging.Handler):
    """Listens while it is entered. `faulty` runs may warn."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__(logging.ERROR if faulty else logging.WARNING)
        self.findings: list[str] = []
        self._logger = logging.getLogger("sluicegate")

    def __enter__(self) -> Hygiene:
        self._logger.addHandler(self)
        self._propagates, self._logger.propagate = self._logger.propagate, False
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagates
        asyncio.get_running_loop().set_exception_handler(None)

    def emit(self, record: logging.LogRecord) -> None:
        what = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.findings.append(f"logged {record.levelname} {record.getMessage()}{what}")

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.findings.append(f"left to the event loop: {context['message']} {context.get('exception')!r}")
