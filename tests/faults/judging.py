"""Makes runs and fails with the commands that replay those that went wrong."""

from __future__ import annotations

from collections.abc import Iterable

from tests.sim.runner import Run, tried

SHOWN = 5


def all_well(runs: Iterable[Run]) -> int:
    """Make every run; returns how many there were. Raises AssertionError with the bad ones."""
    made, bad = 0, []
    for each in runs:
        made += 1
        problems = tried(each).problems
        if problems:
            bad.append("\n    ".join([f"python -m tests.sim {each}", *problems[:SHOWN]]))
    assert made, "no run was made"
    assert not bad, "\n  ".join([f"{len(bad)} of {made} runs went wrong:", *bad[:SHOWN]])
    return made
