"""Teacher forcing over HTTP: how vLLM is asked how likely a given answer is, and what it says.

The answer stands at the end of the prompt, and vLLM tells the log-probability of each token of a prompt. It
computes them anew then, whatever its prefix cache holds. One token is generated besides, for it wants to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def question(model: str, prompt: Sequence[int], tokens: Sequence[int]) -> dict[str, Any]:
    """The body of a request to /v1/completions."""
    return {
        "model": model,
        "prompt": [*prompt, *tokens],
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }


def scores(body: Mapping[str, Any], tokens: Sequence[int]) -> tuple[float | None, ...]:
    """The log-probability in nats of each of the last tokens; None where there is no number.

    Raises LookupError or TypeError where the answer has another form.
    """
    told = body["choices"][0]["prompt_logprobs"][-len(tokens) :]
    pairs = zip(told, tokens, strict=True)
    return tuple(_number(at[str(token)]["logprob"]) for at, token in pairs)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
