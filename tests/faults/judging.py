"""Makes runs and fails with the commands that replay those that went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.sim.branches import grown
from tests.sim.runner import Run

SHOWN = 5


def all_well(runs: Iterable[Run]) -> int:
    """Make every run, all of one workload; returns how many there were. Raises AssertionError of the bad."""
    made = grown(runs)
    wrong = {f"python -m tests.sim {each}": problems for each, (_, problems) in made.items() if problems}
    return none_wrong(len(made), wrong)


def none_wrong(made: int, wrong: Mapping[str, Sequence[str]]) -> int:
    """How many runs were made. Raises AssertionError with what was wrong, by how to name or replay a run."""
    bad = ["\n    ".join([told, *problems[:SHOWN]]) for told, problems in wrong.items()]
    assert not bad, "\n  ".join([f"{len(bad)} of {made} runs went wrong:", *bad[:SHOWN]])
    return made
