"""How long something may take, as kubectl writes it: 90s, 30m, 1h30m."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_FORM = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_SECONDS = (3600, 60, 1)


def duration(text: str) -> int:
    """The seconds that the text stands for, at least one. Raises ArgumentTypeError."""
    found = _FORM.fullmatch(text)
    counts = found.groups() if found else ()
    seconds = sum(int(count or 0) * unit for count, unit in zip(counts, _SECONDS, strict=False))
    if seconds == 0:
        raise ArgumentTypeError(f"{text!r} is no time to wait for: write 90s, 30m or 1h30m")
    return seconds
