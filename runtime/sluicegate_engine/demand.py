"""How many sequences a request has the engine compute: its prompts, each as often as `n` says.

The engine's own bound counts sequences, not requests. If the gate counted requests, a queue would form inside
the engine.
"""

from __future__ import annotations

import json


def sequences(body: bytes) -> int:
    """At least 1. What cannot be understood counts as one: vLLM refuses it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return 1
    if not isinstance(request, dict):
        return 1
    return _prompts(request.get("prompt")) * _times(request.get("n"))


def _prompts(prompt: object) -> int:
    # a list of numbers is one prompt in tokens
    return len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1


def _times(n: object) -> int:
    """`n` as vLLM reads it, which takes "2" and 2.0 for 2."""
    try:
        return max(1, int(float(n)) if isinstance(n, str) else int(n))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 1
