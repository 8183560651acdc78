"""`python -m tests.mutation.guards [NAME...]` takes the operator's guards away, one at a time.

`guards.toml` has them: preconditions, checks of freshness and of leadership, orders of writes, rules of a
rollout. The simulator is the oracle: some run of it has to notice each.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.kept import Mutant, survivors

FILE = Path(__file__).with_name("guards.toml")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--in-turn")
EVERY_TEST = "tests/faults"
LEAST_KILLED = 0.9
LIMIT_SECONDS = 1200.0
PARALLEL = 2


def main(names: Sequence[str]) -> int:
    """Where a guard names `tests`, only those are its oracle: one of them is known to notice."""
    entries = tomllib.loads(FILE.read_text())["guard"]
    accepted = {each["name"]: each.pop("accepted") for each in entries if "accepted" in each}
    oracles: dict[str, list[Mutant]] = defaultdict(list)
    for each in entries:
        oracle = each.pop("tests", EVERY_TEST)
        if not names or each["name"] in names:
            oracles[oracle].append(Mutant(**each))
    chosen = [guard for guards in oracles.values() for guard in guards]
    alive = {
        guard.name: guard
        for oracle, guards in oracles.items()
        for guard in survivors(guards, (*PYTEST, *oracle.split()), PARALLEL, limit=LIMIT_SECONDS, tell=_tell)
    }
    killed = len(chosen) - len(alive)
    wrong = [f"nobody notices: {name}: {each.why}" for name, each in alive.items() if name not in accepted]
    wrong += [
        f"accepted, and noticed: {each.name}" for each in chosen if each.name in accepted.keys() - alive
    ]
    print(*wrong, f"{killed} of {len(chosen)} noticed", sep="\n")
    return int(bool(wrong) or killed < LEAST_KILLED * len(chosen))


def _tell(guard: Mutant, killed: bool) -> None:
    print("noticed " if killed else "SURVIVES", guard.name, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
