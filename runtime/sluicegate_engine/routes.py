"""Which of vLLM's routes a client may use.

vLLM serves routes that change the engine or run outside its own limits (/scale_elastic_ep, /invocations,
/inference/v1/abort_requests and others, more with each release), so this is a list of what is allowed.
/v1/responses and /v1/messages are not on it: they end an aborted request like a finished one.
"""

from __future__ import annotations

from enum import StrEnum


class Route(StrEnum):
    """How the gate treats a request."""

    GENERATION = "Generation"
    """Takes a place in the queue."""
    CHEAP = "Cheap"
    """Passes at once: it needs no turn of the engine."""
    WRONG_METHOD = "WrongMethod"
    UNKNOWN = "Unknown"


_GENERATION = frozenset({"/v1/chat/completions", "/v1/completions"})
_CHEAP = {
    "/health": "GET",
    "/ping": "GET",
    "/version": "GET",
    "/v1/models": "GET",
    "/tokenize": "POST",
    "/detokenize": "POST",
}


def classify(method: str, path: str) -> Route:
    """Say how a request is treated. `path` is decoded and compared whole: no prefixes, no folding."""
    if path not in _GENERATION and path not in _CHEAP:
        return Route.UNKNOWN
    if method == "OPTIONS":
        return Route.CHEAP
    if method != _CHEAP.get(path, "POST"):
        return Route.WRONG_METHOD
    return Route.GENERATION if path in _GENERATION else Route.CHEAP
