"""Makes runs and fails with the commands that replay those that went wrong."""

from __future__ import annotations

from collections.abc import Iterable

from tests.sim.branches import grown
from tests.sim.runner import Run

SHOWN = 5


def all_well(runs: Iterable[Run]) -> int:
    """Make every run, all of one workload; returns how many there were. Raises AssertionError of the bad."""
    made = grown(runs)
    wrong = {each: problems for each, (_, problems) in made.items() if problems}
    bad = ["\n    ".join([f"python -m tests.sim {each}", *wrong[each][:SHOWN]]) for each in wrong]
    assert not bad, "\n  ".join([f"{len(bad)} of {len(made)} runs went wrong:", *bad[:SHOWN]])
    return len(made)
