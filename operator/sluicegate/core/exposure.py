"""Exposure: which colour a Service selects, and since when. Noted on the Service itself."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluicegate.core import naming
from sluicegate.core.intent import owns_annotation
from sluicegate.core.objects import Manifest, annotation


@dataclass(frozen=True)
class Exposure:
    """`rollout` is a colour's identity, or naming.NO_ROLLOUT, or naming.EVERY_ROLLOUT in an overlap.

    `since` is RFC 3339 to the millisecond: a Kubernetes timestamp would make a second's wait any shorter.
    """

    rollout: str
    since: str

    @property
    def overlap(self) -> bool:
        return self.rollout == naming.EVERY_ROLLOUT

    def age(self, now: datetime) -> timedelta:
        return now - datetime.fromisoformat(self.since)


def exposed_now(rollout: str, now: datetime) -> Exposure:
    return Exposure(rollout, now.isoformat(timespec="milliseconds"))


def exposure(
    service: Manifest | None,
    budget: Manifest | None,
    served: str | None,
    promoted: str | None,
    colours: Container[str],
    now: datetime,
) -> Exposure:
    """What the Service was last told to expose.

    Of a lost or spoilt one, the colour that the disruption budget protects, that the status names, or
    that was promoted last.
    """
    noted = _noted(service, naming.EXPOSES)
    if noted and (noted in _STANDING or noted in colours):
        return _exposed(service, noted, now)
    protected = _noted(budget, naming.EXPOSES)
    left = next(
        (each for each in (protected, served, promoted) if each and each in colours), naming.NO_ROLLOUT
    )
    return exposed_now(left, now)


def previewed(preview: Manifest | None, rollout: str, now: datetime) -> Exposure:
    """A colour under the preview Service: since that was told to select it, or from now on."""
    selector = (preview or {}).get("spec", {}).get("selector", {})
    selects = selector.get(naming.ROLLOUT, naming.EVERY_ROLLOUT) == rollout
    return _exposed(preview, rollout, now) if selects else exposed_now(rollout, now)


def _exposed(service: Manifest | None, rollout: str, now: datetime) -> Exposure:
    """A colour that the Service selects: since what is noted on it, or from now on."""
    since = _noted(service, naming.EXPOSED_SINCE)
    return Exposure(rollout, since) if since and _is_past(since, now) else exposed_now(rollout, now)


def _noted(obj: Manifest | None, key: str) -> str | None:
    """What we noted on it. What somebody else wrote there since says nothing."""
    return annotation(obj, key) if obj is not None and owns_annotation(obj, key) else None


_STANDING = frozenset({naming.NO_ROLLOUT, naming.EVERY_ROLLOUT})


def _is_past(text: str, now: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment <= now
