"""Where two transcripts part, as lines to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def differences(real: Any, fake: Any, path: str = "") -> Iterator[str]:
    """One line for each part that differs; a step is named by its first element."""
    if isinstance(real, dict) and isinstance(fake, dict):
        for key in sorted(real.keys() | fake.keys()):
            yield from differences(real.get(key), fake.get(key), f"{path}/{key}")
    elif isinstance(real, list) and isinstance(fake, list) and len(real) == len(fake):
        for index, (left, right) in enumerate(zip(real, fake, strict=True)):
            named = isinstance(left, list) and left and isinstance(left[0], str)
            yield from differences(left, right, f"{path}/{left[0] if named else index}")
    elif real != fake:
        yield f"{path}: real {json.dumps(real)[:300]}, fake {json.dumps(fake)[:300]}"
