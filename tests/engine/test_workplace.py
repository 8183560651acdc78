"""The supervisor's folder: its own, and gone with it."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from sluicegate_engine.workplace import workplace


def test_what_a_killed_supervisor_with_this_pid_left_is_not_there_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = workplace()
    (killed.__enter__() / "gate").touch()
    # when the next begins, then
    with workplace() as directory:
        assert list(tmp_path.iterdir()) == [directory]
        assert list(directory.iterdir()) == []
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []
