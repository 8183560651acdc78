"""Commands fail in one message for a person; only what nobody expects ends in a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from e2e.cluster.command import CommandError, ExpectedError, end_of, exit_with, run


def _raising(error: BaseException) -> Callable[[], int]:
    def main() -> NoReturn:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExpectedError("the disk is full: free some"), "error: the disk is full: free some"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            "error: [Errno 13] Permission denied: '/root/x'",
        ),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_may_fail_ends_in_one_message(error: BaseException, code: str | int) -> None:
    with pytest.raises(SystemExit) as ended:
        exit_with(_raising(error))

    assert ended.value.code == code


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError):
        exit_with(_raising(KeyError("no such part")))


def test_a_command_that_fails_says_its_words() -> None:
    with pytest.raises(CommandError, match=r"no space left$"):
        run([sys.executable, "-c", "raise SystemExit('no space left')"])


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="no-such-command is not installed"):
        run(["no-such-command"])


def test_a_log_is_quoted_with_its_place(tmp_path: Path) -> None:
    log = tmp_path / "kubelet.log"
    log.write_text("first\n" * 1000 + "last\n")

    said = end_of(log)

    assert said.startswith(f"{log} ends in\n")
    assert said.endswith("last")
    assert len(said) < 2200
