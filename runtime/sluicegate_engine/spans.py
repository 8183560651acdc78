"""The spans of a request and of a reload, and their form in OTLP's JSON encoding.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hexadecimal, 64-bit integers as
strings, enums as numbers. Names and attributes are those of the semantic conventions where there are any. The
state of a trace is left out: it is its callers' text.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sluicegate_engine.reload.progress import ReloadOutcome, ReloadProgress
from sluicegate_engine.trace_context import TraceContext

Value = str | int | float | list[str]
Resource = Mapping[str, str]
_SCOPE = {"name": "sluicegate_engine"}
_ATTRIBUTES = {
    "route": "http.route",
    "status": "http.response.status_code",
    "error": "error.type",
    "promptTokens": "gen_ai.usage.input_tokens",
    "cachedTokens": "gen_ai.usage.cache_read.input_tokens",
    "outputTokens": "gen_ai.usage.output_tokens",
    "id": "sluicegate.request.id",
    "outcome": "sluicegate.request.outcome",
    "version": "sluicegate.model_version",
}
"""The attribute that a field of the log's line becomes."""


class Kind(IntEnum):
    INTERNAL = 1
    SERVER = 2


@dataclass(frozen=True)
class Span:
    """One span: `start` and `end` in nanoseconds since 1970, `parent` "" where it is a trace's first."""

    name: str
    context: TraceContext
    parent: str
    start: int
    end: int
    attributes: Mapping[str, Value]
    kind: Kind = Kind.INTERNAL
    failed: bool = False

    def encode(self) -> dict[str, object]:
        context = self.context
        return {
            "traceId": context.trace_id,
            "spanId": context.span_id,
            **({"parentSpanId": self.parent} if self.parent else {}),
            "flags": context.flags,
            "name": self.name,
            "kind": int(self.kind),
            "startTimeUnixNano": str(self.start),
            "endTimeUnixNano": str(self.end),
            "attributes": _attributes(self.attributes),
            "status": {"code": 2} if self.failed else {},
        }


def request_spans(
    own: TraceContext,
    caller: str,
    line: Mapping[str, str | int | float],
    times: tuple[int, int, int],
    phases: Iterable[tuple[str, int, int]],
) -> list[Span]:
    """A server's span, and one below it of each phase.

    `line` is the request's in the log. `times`: the difference from the clock to 1970, beginning, end.
    """
    past, began, ended = times
    attributes: dict[str, Value] = {name: line[key] for key, name in _ATTRIBUTES.items() if key in line}
    attributes["http.request.method"] = "POST"
    if "finish" in line:
        attributes["gen_ai.response.finish_reasons"] = [str(line["finish"])]
    failed = line["outcome"] == "error"
    if failed:
        attributes.setdefault("error.type", "error")
    first = Span(
        f"POST {line['route']}", own, caller, began + past, ended + past, attributes, Kind.SERVER, failed
    )
    return [first, *(_below(own, name, start + past, end + past) for name, start, end in phases)]


def reload_spans(own: TraceContext, progress: ReloadProgress) -> list[Span]:
    """A span of a reload that has ended, and one below it of each phase."""
    order, outcome = progress.order, str(progress.outcome)
    phases = [(name, _nanoseconds(start), _nanoseconds(end)) for name, start, end in progress.timeline]
    attributes: dict[str, Value] = {
        "sluicegate.model_version": order.target.version,
        "sluicegate.model_digest": order.target.digest,
        "sluicegate.reload.sequence": order.sequence,
        "sluicegate.reload.mode": order.mode.value,
        "sluicegate.reload.outcome": outcome,
        **({"error.type": progress.reason} if progress.reason else {}),
    }
    failed = progress.outcome in (ReloadOutcome.REFUSED, ReloadOutcome.ROLLED_BACK)
    first = Span("reload", own, "", phases[0][1], phases[-1][2], attributes, failed=failed)
    return [first, *(_below(own, *phase) for phase in phases)]


def _below(parent: TraceContext, name: str, start: int, end: int) -> Span:
    return Span(name, parent._replace(span_id=os.urandom(8).hex()), parent.span_id, start, end, {})


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6) * 1000


def encode(resource: Resource, spans: Iterable[Span]) -> bytes:
    """The body of a POST to /v1/traces."""
    parts = []
    for span in spans:
        parts.append(json.dumps(span.encode(), separators=(",", ":")))
        # Streams are served by another thread of this interpreter: let it have its turn after each.
        time.sleep(0)
    head, scope = json.dumps({"attributes": _attributes(resource)}), json.dumps(_SCOPE)
    below = f'"scopeSpans":[{{"scope":{scope},"spans":[{",".join(parts)}]}}]'
    return f'{{"resourceSpans":[{{"resource":{head},{below}}}]}}'.encode()


def _attributes(values: Mapping[str, Value]) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, object]:
    match value:
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
    return {"arrayValue": {"values": [_value(each) for each in value]}}
