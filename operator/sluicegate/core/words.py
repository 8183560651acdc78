"""Words of others within bounds, so that a message can hold them."""

from __future__ import annotations

LONGEST = 256
"""Characters of them that a message holds."""


def ending_of(text: str) -> str:
    """The last words of a text on one line: of a log, the end tells most."""
    line = _line(text)
    return line if len(line) <= LONGEST else f"...{line[3 - LONGEST :]}"


def beginning_of(text: str) -> str:
    """The first words of a text on one line."""
    line = _line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _line(text: str) -> str:
    """The text with white space for line breaks, and nothing that a terminal would take for a command."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable())
