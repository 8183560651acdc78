"""Exposure: which colour the Service selects, and since when. Noted on the Service itself."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import Manifest, annotation


@dataclass(frozen=True)
class Exposure:
    """`rollout` is a colour's identity, or naming.NO_ROLLOUT, or naming.EVERY_ROLLOUT in an overlap."""

    rollout: str
    since: str

    @property
    def overlap(self) -> bool:
        return self.rollout == naming.EVERY_ROLLOUT

    def age(self, now: datetime) -> timedelta:
        return now - datetime.fromisoformat(self.since)


def exposure(
    service: Manifest | None, served: str | None, colours: Container[str], now: datetime
) -> Exposure:
    """What the Service was last told to expose; of a lost or spoilt one, the colour that the status names."""
    rollout = annotation(service, naming.EXPOSES) if service else None
    since = annotation(service, naming.EXPOSED_SINCE) if service else None
    if rollout and since and _is_time(since) and (rollout in _STANDING or rollout in colours):
        return Exposure(rollout, since)
    return Exposure(served if served in colours and served else naming.NO_ROLLOUT, timestamp(now))


_STANDING = frozenset({naming.NO_ROLLOUT, naming.EVERY_ROLLOUT})


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
