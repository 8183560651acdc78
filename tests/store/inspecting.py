"""Inspection of what a test has put on a claim."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.store.builders import Model, mounts

from sluicegate_store.errors import StoreError
from sluicegate_store.ingest import open_source
from sluicegate_store.inspection import Inspection, inspect
from sluicegate_store.progress import Progress


def look(tmp_path: Path, uri: str = "pvc://claim/m", expected: str | None = None) -> Inspection:
    source = open_source(uri, None, mounts(tmp_path))
    return inspect(source, uri, expected, tmp_path, Progress())


def refusal(tmp_path: Path, uri: str = "pvc://claim/m", expected: str | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        look(tmp_path, uri, expected)
    return caught.value


def place(tmp_path: Path, model: Model) -> Path:
    return model.write(tmp_path / "claim" / "m")


@contextmanager
def as_an_ordinary_user(reachable: Path) -> Iterator[None]:
    """Without root's right to read everything, which a container does not have either."""
    was = os.geteuid()
    if was != 0:
        yield
        return
    closed = {f: f.stat().st_mode for f in (reachable, *reachable.parents) if not f.stat().st_mode & 0o001}
    for folder, mode in closed.items():
        folder.chmod(mode | 0o001)
    os.seteuid(65532)
    try:
        yield
    finally:
        os.seteuid(was)
        for folder, mode in closed.items():
            folder.chmod(mode)
