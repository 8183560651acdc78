"""Where two transcripts part, as lines to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """One line for each part that differs; a step is named by its first element."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            named = isinstance(left, list) and left and isinstance(left[0], str)
            yield from differences(left, right, f"{path}/{left[0] if named else index}")
    elif one != other:
        yield f"{path}: {json.dumps(one)[:300]} / {json.dumps(other)[:300]}"
