"""How long a real API server takes, in seconds: medians of `python -m bench.operator.latency` on 2 cores.

That server has no other load and no network before it, so these are the least that an operator will meet.
"""

from __future__ import annotations

from collections.abc import Mapping

# A PATCH is an apply; one to a status takes 0.004, a merge patch as long as an apply.
_SECONDS: Mapping[str, float] = {
    "GET": 0.0012,
    "LIST": 0.0026,
    "POST": 0.0019,
    "PATCH": 0.0023,
    "PUT": 0.0020,
    "DELETE": 0.0025,
    "WATCH": 0.0037,
}

# A watch tells of a merge patch 0.0027 after it was sent; the server is taken to write halfway through.
NEWS = 0.0027 - _SECONDS["PATCH"] / 2
"""From a change in the server to the line of a watch that tells of it."""


def of(verb: str) -> float:
    """Of one request, by its method; LIST is that of a hundred objects, WATCH the opening of a stream."""
    return _SECONDS[verb]
