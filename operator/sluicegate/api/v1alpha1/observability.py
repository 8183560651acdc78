"""What model pods tell of the requests that they answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sluicegate.api.meta import Change, Model

MILLION = 1_000_000


class RequestLog(StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Tracing(Model):
    """Spans of requests and of changes in place, sent as OTLP over HTTP."""

    endpoint: Annotated[
        str,
        Field(min_length=1, max_length=512, pattern=r"^https?://[-A-Za-z0-9._:\[\]]+(/[-A-Za-z0-9._~/]*)?$"),
        Change.TEMPLATE,
    ]
    """An OpenTelemetry collector's address for OTLP over HTTP, such as http://collector.observability:4318;
    /v1/traces is added."""
    sampling_rate_per_million: Annotated[int, Field(ge=0, le=MILLION), Change.TEMPLATE] = MILLION
    """How many of a million traces that begin here are recorded. What a caller has begun is recorded as it
    says."""


class Observability(Model):
    """What model pods tell of the requests that they answer."""

    request_log: Annotated[RequestLog, Change.TEMPLATE] = RequestLog.ENABLED
    """Whether each generation request leaves a line in the engine's log: ids, times, token counts, outcome,
    and not a word of it."""
    tracing: Tracing | None = None
    """Where spans go. Left out, none are sent."""
