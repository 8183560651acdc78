"""Progress in words, and commands that don't outlive who waits for them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from e2e.cluster.command import CommandError
from e2e.cluster.progress import Progress, WaitError


class Clock:
    """Each look is one second later."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1
        return self._now


def test_a_wait_says_what_is_missing_and_ends_when_nothing_is() -> None:
    out, missing = io.StringIO(), iter(["etcd", "kubelet", None])

    Progress(out, Clock()).wait(lambda: next(missing), limit_seconds=60, every_seconds=0)

    assert [line.split("] ")[1] for line in out.getvalue().splitlines()] == [
        "waiting for etcd",
        "waiting for kubelet",
    ]


def test_a_wait_that_takes_too_long_names_what_did_not_come() -> None:
    with pytest.raises(WaitError, match="gave up after 3s: waiting for etcd"):
        Progress(io.StringIO(), Clock()).wait(lambda: "etcd", limit_seconds=3, every_seconds=0)


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such layer'); sys.exit(3)"]

    with pytest.raises(CommandError, match=r"building failed with code 3: \S+/log ends in\nno such layer"):
        Progress(io.StringIO()).run("building", command, tmp_path / "log")
