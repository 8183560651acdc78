"""Room on a volume, asked before anything is written: a half-filled disk hurts more than a refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

from sluicegate_store.errors import Reason, StoreError

RESERVE = 64 << 20


def require_room(folder: Path, needed: int, purpose: str) -> None:
    """Raise InsufficientDisk unless `needed` bytes and a small reserve are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise StoreError(
            Reason.INSUFFICIENT_DISK,
            f"{purpose} needs {needed:,} bytes and {RESERVE:,} in reserve, the volume has {free:,} free; "
            "give the volume more room",
        )
