"""`python -m tests.mutation.guards [NAME...]` takes the operator's guards away, one at a time.

`guards.toml` has them: preconditions, checks of freshness and of leadership, orders of writes, rules of a
rollout. The simulator is the oracle: some run of it has to notice each.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.kept import Mutant, survivors

FILE = Path(__file__).with_name("guards.toml")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
EVERY_TEST = "tests/faults"
IN_TURN = "--in-turn"
LEAST_KILLED = 0.9
LIMIT_SECONDS = 2400.0
PARALLEL = 2


def main(names: Sequence[str]) -> int:
    """Where a guard names `tests`, only those are its oracle: one of them is known to notice."""
    entries = [each for each in listed() if not names or each["name"] in names]
    accepted = {each["name"] for each in entries if each.pop("accepted", None)}
    oracles = [each.pop("tests", EVERY_TEST) for each in entries]
    chosen = [Mutant(**each) for each in entries]
    trials = {guard: command(oracle) for guard, oracle in zip(chosen, oracles, strict=True)}
    sound = (
        *PYTEST,
        IN_TURN,
        *sorted({EVERY_TEST, *(each for each in oracles if not _is_simulated(each))}),
    )
    left = survivors(trials, sound, PARALLEL, limit=LIMIT_SECONDS, tell=_tell)
    alive = {guard.name: guard for guard in left}
    killed = len(chosen) - len(alive)
    wrong = [f"nobody notices: {name}: {each.why}" for name, each in alive.items() if name not in accepted]
    wrong += [
        f"accepted, and noticed: {each.name}" for each in chosen if each.name in accepted - alive.keys()
    ]
    simulated = sum(_is_simulated(trials[guard][-1]) for guard in chosen if guard.name not in alive)
    told = f"{killed} of {len(chosen)} noticed, {simulated} of them by simulated runs"
    print(*wrong, told, sep="\n")
    return int(bool(wrong) or killed < LEAST_KILLED * len(chosen))


def command(oracle: str) -> tuple[str, ...]:
    """Runs an oracle. Only the simulator's tests know what to run them in turn means: others would refuse."""
    return (*PYTEST, *((IN_TURN,) if _is_simulated(oracle) else ()), oracle)


def _is_simulated(oracle: str) -> bool:
    return oracle.startswith(EVERY_TEST)


def listed() -> list[dict[str, str]]:
    """The guards as the file has them."""
    entries: list[dict[str, str]] = tomllib.loads(FILE.read_text())["guard"]
    return entries


def _tell(guard: Mutant, killed: bool) -> None:
    print("noticed " if killed else "SURVIVES", guard.name, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
