"""`python -m tests.mutation.guards [NAME...]` takes the operator's guards away, one at a time.

`guards.toml` has them: preconditions, checks of freshness and of leadership, orders of writes, rules of a
rollout. The simulator is the oracle: some run of it has to notice each.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.kept import Command, Mutant, survivors

FILE = Path(__file__).with_name("guards.toml")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
EVERY_TEST = "tests/faults"
IN_TURN = "--in-turn"
NIGHTLY = "--nightly"
LEAST_KILLED = 0.9
LIMIT_SECONDS = 2400.0
PARALLEL = 2


@dataclass(frozen=True)
class Guard:
    """A guard is gone where the `mutant` is. `tests`, a file or the id of a test, are known to notice.

    Some of them are `nightly`. One that nothing notices has `accepted`, the reason why that is well.
    """

    mutant: Mutant
    tests: str = EVERY_TEST
    nightly: bool = False
    accepted: str = ""

    @property
    def is_simulated(self) -> bool:
        """Whether runs of the simulator are the oracle."""
        return self.tests.startswith(EVERY_TEST)

    @property
    def command(self) -> Command:
        """Only the simulator's tests know what to run them in turn means: others would refuse."""
        options = ((IN_TURN, self.is_simulated), (NIGHTLY, self.nightly))
        return (*PYTEST, *(option for option, wanted in options if wanted), self.tests)


def main(names: Sequence[str]) -> int:
    chosen = {each.mutant: each for each in listed() if not names or each.mutant.name in names}
    trials = {mutant: guard.command for mutant, guard in chosen.items()}
    alive = set(survivors(trials, sound(tuple(chosen.values())), PARALLEL, limit=LIMIT_SECONDS, tell=_tell))
    noticed = [guard for mutant, guard in chosen.items() if mutant not in alive]
    unnoticed = [chosen[mutant] for mutant in chosen if mutant in alive]
    wrong = [f"nobody notices: {_told(each)}" for each in unnoticed if not each.accepted]
    wrong += [f"accepted, and noticed: {_told(each)}" for each in noticed if each.accepted]
    simulated = sum(each.is_simulated for each in noticed)
    print(*wrong, f"{len(noticed)} of {len(chosen)} noticed, {simulated} of them by simulated runs", sep="\n")
    return int(bool(wrong) or simulated < LEAST_KILLED * len(chosen))


def sound(guards: Sequence[Guard]) -> tuple[Command, ...]:
    """What has to pass while every guard is there, or its failure says nothing."""
    others = sorted({EVERY_TEST, *(each.tests for each in guards if not each.is_simulated)})
    return (*PYTEST, IN_TURN, *others), *sorted({each.command for each in guards if each.nightly})


def listed() -> list[Guard]:
    """The guards as the file has them."""
    return [_guard(entry) for entry in tomllib.loads(FILE.read_text())["guard"]]


def _guard(entry: dict[str, Any]) -> Guard:
    of_guard = {key: entry.pop(key) for key in ("tests", "nightly", "accepted") if key in entry}
    return Guard(Mutant(**entry), **of_guard)


def _tell(mutant: Mutant, killed: bool) -> None:
    print("noticed " if killed else "SURVIVES", mutant.name, flush=True)


def _told(guard: Guard) -> str:
    return f"{guard.mutant.name}: {guard.mutant.why}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
