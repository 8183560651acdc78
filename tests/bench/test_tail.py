"""Following a file that grows."""

from __future__ import annotations

from pathlib import Path

from bench.operator.tail import Tail


def test_each_line_is_given_once_and_only_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = Tail(file)
    assert tail.lines() == []

    file.write_text("one\ntwo\nthr")
    assert tail.lines() == ["one", "two"]

    file.write_text("one\ntwo\nthree\n")
    assert tail.lines() == ["three"]
    assert tail.lines() == []
