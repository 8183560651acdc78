"""The classes that a request may name: who goes first where not all can go at once."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """From the first to the last. A request that names none is standard."""

    INTERACTIVE = "interactive"
    """A person waits for the first token."""
    STANDARD = "standard"
    BATCH = "batch"
    """Nobody waits: it may take what the others leave."""

    @property
    def weight(self) -> int:
        """Its part, of TOTAL_WEIGHT, of what is let in and of the places in the queue while all want more."""
        return _WEIGHTS[self]


_WEIGHTS = {Priority.INTERACTIVE: 8, Priority.STANDARD: 4, Priority.BATCH: 1}
TOTAL_WEIGHT = sum(_WEIGHTS.values())


def named_priority(header: bytes) -> Priority:
    """What a request's header says, b"" where it has none. Raises ValueError, which says what it may say."""
    if not header:
        return Priority.STANDARD
    try:
        return Priority(header.decode("latin-1"))
    except ValueError:
        raise ValueError(f"the priority is one of {', '.join(Priority)}") from None
