"""Time, in the hands of a test."""

from __future__ import annotations


class Watch:
    """A clock that a test moves; in milliseconds."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        return self.at * 1_000_000
