"""What pods measured of a version, as they tell it."""

from __future__ import annotations

from typing import Any

from sluicegate.core.comparison import FIRST_TOKEN, LATENCY, LENGTH, PER_TOKEN


def measured(
    served: int = 1000,
    *,
    first_token: int = 100_000,
    per_token: int = 20_000,
    latency: int = 2_000_000,
    length: int = 100,
    **outcomes: int,
) -> dict[str, Any]:
    """Requests that were all alike; times in microseconds, the length in tokens."""
    alike = {FIRST_TOKEN: first_token, PER_TOKEN: per_token, LATENCY: latency, LENGTH: length}
    return {
        "outcomes": {"served": served, **outcomes},
        **{name: [[value, served]] for name, value in alike.items()},
    }
