"""Logs as JSON, one object a line, for our own loggers and for those of the libraries alike."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

QUIET = ("aiohttp.access", "kubernetes", "asyncio", "kopf.objects")


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, whatever `extra={"fields": {...}}` carried, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def install(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger of the process to `stream` at this level."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its DEBUG tells of each object's every event; the reconcile's own line says what came of it.
    logging.getLogger("kopf").setLevel(max(logging.getLogger().level, logging.INFO))
