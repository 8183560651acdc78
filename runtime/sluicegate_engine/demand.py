"""What a request asks of the engine: sequences, its prompts each as often as `n` says, and prompt tokens.

The engine's own bound counts sequences, not requests. If the gate counted requests, a queue would form inside
the engine.
"""

from __future__ import annotations

from typing import NamedTuple

from sluicegate_engine.payload import Payload

BYTES_PER_TOKEN = 3
"""Fixed, not learned from answers: so the same request always counts the same, and what one client sends
never decides whether another's is taken. English has about four bytes a token with the tokenizers of today:
three count rather too many tokens than too few."""
_PROMPT_FIELDS = ("prompt", "messages", "tools", "documents")
_MEDIA = frozenset({"image_url", "input_audio", "audio_url", "video_url"})
"""What these become in tokens has nothing to do with their bytes, which have a bound of their own."""


class Demand(NamedTuple):
    """`sequences` to compute at a time, at least 1, and `prompt_tokens` to read: exact where the prompt comes
    in tokens, and estimated from the bytes of its text otherwise."""

    sequences: int = 1
    prompt_tokens: int = 0


def demand(request: Payload) -> Demand:
    """What could not be understood counts as one sequence without a prompt."""
    return Demand(_prompts(request.get("prompt")) * _times(request.get("n")), _prompt_tokens(request))


def _prompts(prompt: object) -> int:
    # a list of numbers is one prompt in tokens
    return len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1


def _times(n: object) -> int:
    """`n` as vLLM reads it, which takes "2" and 2.0 for 2."""
    try:
        return max(1, int(float(n)) if isinstance(n, str) else int(n))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 1


def _prompt_tokens(request: Payload) -> int:
    """A message's keys count too, about as much as what the chat template puts around it."""
    tokens = text_bytes = 0
    # no recursion: a client chooses the depth
    parts = [request.get(field) for field in _PROMPT_FIELDS]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            text_bytes += len(part.encode(errors="replace"))
        elif isinstance(part, dict):
            parts += [each for key, value in part.items() if key not in _MEDIA for each in (key, value)]
        elif isinstance(part, list) and part and isinstance(part[0], int):
            tokens += len(part)
        elif isinstance(part, list):
            parts += part
    return tokens - (-text_bytes // BYTES_PER_TOKEN)
