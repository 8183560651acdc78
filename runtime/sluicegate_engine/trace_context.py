"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the trace that a request belongs to.

What a client sends is passed on to vLLM only where it is well-formed; where it is not, or nothing was sent, a
trace begins here. Answers carry no trace header: the recommendation defines none for them, and a client finds
its request by X-Request-Id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

SAMPLED = 1
_KNOWN_FLAGS = 0b11
"""Sampled, and that the trace's id is random; whoever passes a trace on clears all others."""
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_BYTES = 512
_STATE_MEMBERS = 32
_KEY = rb"[a-z0-9][a-z0-9_\-*/@]{0,255}"
_MEMBER = re.compile(_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}")


class TraceContext(NamedTuple):
    """Ids in hexadecimal: of the trace and of the span that whoever gets this is a child of."""

    trace_id: str
    span_id: str
    flags: int
    state: bytes = b""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        parent = b"00-%s-%s-%02x" % (self.trace_id.encode(), self.span_id.encode(), self.flags)
        state = [(b"tracestate", self.state)] if self.state else []
        return [(b"traceparent", parent), *state]


def read_context(parents: Sequence[bytes], states: Sequence[bytes]) -> TraceContext | None:
    """What the headers traceparent and tracestate say; None where that is not one well-formed parent."""
    if len(parents) != 1 or (found := _PARENT.fullmatch(parents[0])) is None:
        return None
    version, trace, span, flags, more = found.groups()
    # A later version may say more, and the first is known to say no more than this.
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return TraceContext(trace.decode(), span.decode(), int(flags, 16) & _KNOWN_FLAGS, _state(states))


def _state(lines: Sequence[bytes]) -> bytes:
    """The list of vendors' states in one line; empty where any of it is malformed."""
    members = [member.strip(b" \t") for member in b",".join(lines).split(b",")] if lines else []
    members = [member for member in members if member]
    text = b",".join(members)
    keys = {member.partition(b"=")[0] for member in members}
    well_formed = len(keys) == len(members) <= _STATE_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return text if well_formed and len(text) <= _STATE_BYTES else b""
