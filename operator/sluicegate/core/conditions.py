"""Conditions: verdicts turned into the list that a status shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluicegate.api.meta import Condition
from sluicegate.api.reasons import Reason

MESSAGE_LIMIT = 1024


@dataclass(frozen=True)
class Verdict:
    """One aspect as judged now."""

    type: str
    status: bool
    reason: Reason
    message: str = ""


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second: the form of Kubernetes' own timestamps."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(
    verdicts: Iterable[Verdict], before: Iterable[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions as JSON; a transition time is kept where the status did not change."""
    known = {condition.type: condition for condition in before}
    return [_condition(verdict, known.get(verdict.type), generation, now) for verdict in verdicts]


def _condition(verdict: Verdict, before: Condition | None, generation: int, now: datetime) -> dict[str, Any]:
    status = str(verdict.status)
    unchanged = before is not None and before.status == status
    return {
        "type": verdict.type,
        "status": status,
        "reason": str(verdict.reason),
        "message": shortened(verdict.message),
        "observedGeneration": generation,
        "lastTransitionTime": before.last_transition_time if unchanged and before else timestamp(now),
    }


def shortened(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """The message within its bound in bytes; the beginning is kept."""
    encoded = message.encode()
    if len(encoded) <= limit:
        return message
    return encoded[: limit - 3].decode(errors="ignore") + "..."
