"""A folder of the supervisor's alone, for what its processes find each other by."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workplace() -> Iterator[Path]:
    """Make it, and remove it with all that is in it.

    A supervisor that is killed leaves its own behind, where /tmp outlives the container. It goes by the pid,
    which is 1 in every container, so that the next one finds it and begins anew.
    """
    directory = Path(tempfile.gettempdir()) / f"sluicegate-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
