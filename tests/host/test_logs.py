"""Logs: one JSON object a line, whoever logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sluicegate.host import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, before = logging.getLogger(), (logging.getLogger().level, logging.getLogger().handlers[:])
    stream = io.StringIO()
    logs.install("INFO", stream)
    yield stream
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_fields_of_a_reconcile_are_members_of_the_line(stream: io.StringIO) -> None:
    logging.getLogger("sluicegate").info("reconciled", extra={"fields": {"key": "chat", "duration": 0.1}})
    (line,) = lines(stream)
    assert (line["message"], line["key"], line["duration"]) == ("reconciled", "chat", 0.1)
    assert line["level"] == "INFO"


def test_a_traceback_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("sluicegate").exception("failed")
    (line,) = lines(stream)
    assert "ValueError" in line["traceback"]


def test_kopf_uses_the_same_format_and_is_no_chatterbox(stream: io.StringIO) -> None:
    logging.getLogger("kopf.objects").info("Handler 'llmdeployments' succeeded.")
    logging.getLogger("kopf.objects").warning("hm")
    logging.getLogger("aiohttp.access").info("GET /healthz")
    assert [line["message"] for line in lines(stream)] == ["hm"]
