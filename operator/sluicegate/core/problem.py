"""A problem: why something does not go on, and whether it will by itself."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.api.reasons import Reason


@dataclass(frozen=True)
class Problem:
    """`stalled` means that somebody has to change something; otherwise waiting may be enough."""

    reason: Reason
    message: str
    stalled: bool = True
