"""Counts the runs of each class of faults and prints them at the end."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

import pytest
from tests.faults.classes import CLASSES

Count = Callable[[int, int], None]

FORKING = ("test_errors", "test_crashes", "test_the_past", "test_lost_news")


@pytest.fixture(scope="session", autouse=True)
def _collect_garbage_rarely() -> None:
    # Thousands of objects live as long as a process, and each collection would look at all of them.
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Called with the number of a class and of the runs that were made of it."""

    def counted(number: int, runs: int) -> None:
        record_property(f"class {number}", runs)

    return counted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first. It forks, too, which is cheap while a process holds little."""
    items.sort(key=lambda item: item.path.stem not in FORKING)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    runs: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in report.user_properties:
                runs[name] += int(value)
    if not runs:
        return
    terminalreporter.section("runs by class of faults")
    for number, title in CLASSES.items():
        if f"class {number}" in runs:
            terminalreporter.write_line(f"{number:>3}  {title:<64} {runs[f'class {number}']:>7,}")
    terminalreporter.write_line(f"     {'together':<64} {sum(runs.values()):>7,}")
