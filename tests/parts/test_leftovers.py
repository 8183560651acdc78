"""What a killed run left is found by what it is, not by what the run wrote down."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.cluster import Layout, namespaces

Start = Callable[[Path, str], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process in a directory with a word on its command line; it ends with the test."""
    with ExitStack() as cleanup:

        def begin(directory: Path, word: str) -> int:
            directory.mkdir(exist_ok=True)
            command = ["sh", "-c", "echo ready; read never", "sh", "-m", word]
            process = subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            cleanup.enter_context(process)
            cleanup.callback(process.kill)
            assert process.stdout
            process.stdout.readline()  # its command line is its own now
            return process.pid

        yield begin


def test_a_supervisor_is_found_though_nothing_was_written_about_it(tmp_path: Path, start: Start) -> None:
    mine = Layout(tmp_path / "mine", states=tmp_path / "states")
    pid = start(mine.checkout, namespaces.SUPERVISOR)

    assert namespaces.supervisors(mine) == [pid]


def test_neither_another_checkouts_supervisor_nor_another_process_is_taken_for_it(
    tmp_path: Path, start: Start
) -> None:
    mine = Layout(tmp_path / "mine", states=tmp_path / "states")
    start(tmp_path / "other", namespaces.SUPERVISOR)
    start(mine.checkout, "e2e.cluster.forwarder")

    assert namespaces.supervisors(mine) == []


def test_a_state_directory_is_a_leftover_without_any_process(tmp_path: Path) -> None:
    mine = Layout(tmp_path / "mine", states=tmp_path / "states")
    assert not namespaces.has_leftovers(mine)

    mine.state.mkdir(parents=True)

    assert namespaces.has_leftovers(mine)
