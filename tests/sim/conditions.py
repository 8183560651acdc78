"""What an operator meets on its way to the API server for a time, whatever it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Gap(Enum):
    """What becomes of a watch at its next news, once."""

    EXPIRED = "410 after the history was compacted"
    ERROR = "an error line with code 500"
    SILENT = "no byte any more"
    TORN = "a reset in the middle of a line"
    LARGE = "a line of more than a mebibyte"


@dataclass(frozen=True)
class Past:
    """Until a time of the event loop reads are answered from a version of the store, and watches are held."""

    version: int
    until: float


@dataclass
class Conditions:
    """`gaps`, `delays` (seconds by which news come late) and `unlisted` (until when a list of them all is
    refused) are by the plural of a kind."""

    past: Past | None = None
    gaps: dict[str, Gap] = field(default_factory=dict)
    delays: Mapping[str, float] = field(default_factory=dict)
    unlisted: Mapping[str, float] = field(default_factory=dict)
    changes_lost: bool = False
    """Watches tell what is added and deleted, and nothing of what is modified."""
    down: bool = False
    """Nobody listens at the API server's address."""
    silent_until: float = 0.0
    """Nothing gets through until then; what was sent meanwhile is sent again at that time."""
    answers_take: float = 0.0
    """Seconds for each answer, half of them before the server has the request."""


def plural_in(path: str) -> str:
    """The kind that a collection's path names."""
    return path.rpartition("/")[2]
