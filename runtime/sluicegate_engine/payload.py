"""A request's body, as far as the gate understands it, read once for all who want to know something of it."""

from __future__ import annotations

import json

Payload = dict[str, object]


def parse(body: bytes) -> Payload:
    """The request; an empty one where it cannot be understood, which vLLM then refuses."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}
