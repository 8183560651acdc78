"""`python -m tests.mutation [MODULE...]` tries every small fault in core; each has to fail some test.

Without names, all modules of core. The score counts every mutant, also those that nothing can kill.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.mutation.accepted import complaints, held_elsewhere, listed, rows, table
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trials import Verdict, measure, trials

import sluicegate.api.v1alpha1.llmdeployment
import sluicegate.api.v1alpha1.modelversion  # noqa: F401 - imported once, for all forks

PACKAGE = "sluicegate.core"
ROOT = Path(__file__).parents[2]
CODE = ROOT / "operator" / "sluicegate" / "core"
# Not those that walk through whole journeys: what only they notice deserves a test that says what it is.
WALKS = "any_moment or any_two_moments or any_write or middle_of_a_cutover or another_operator"
TESTS = (
    "tests/core",
    "tests/cli/test_render.py",
    "--ignore=tests/core/test_planner_properties.py",
    f"-k=not ({WALKS})",
)
LEAST_SCORE = 85.0


def main(arguments: Sequence[str]) -> int:
    names = sorted(file.stem for file in CODE.glob("*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", metavar="MODULE", nargs="*", help="of core, as `rollout`")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at the same time")
    chosen = parser.parse_args(arguments)
    modules = chosen.modules or names
    if unknown := set(modules) - set(names):
        parser.error(f"core has no {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    began, accepted = time.monotonic(), listed()
    found = [mutant for name in names for mutant in mutants(f"{PACKAGE}.{name}", CODE / f"{name}.py")]
    elsewhere = held_elsewhere()
    found = [each for each in found if not each.name.startswith(elsewhere)]
    verdicts = _tried(found, {f"{PACKAGE}.{name}" for name in modules}, accepted, chosen.workers)
    wrong = list(complaints(verdicts, accepted, modules))
    result = rows(verdicts, accepted)
    print(*wrong, table(result), sep="\n")
    print(f"took {time.monotonic() - began:.0f} s; the score has to be {LEAST_SCORE:.0f} % at least")
    return int(bool(wrong) or result[-1].score < LEAST_SCORE)


def _tried(
    found: Sequence[Mutant], modules: Collection[str], accepted: Collection[str], workers: int
) -> list[Verdict]:
    """A verdict on each mutant of these modules. `found` are those of all modules.

    One that survives without being `accepted` is told of at once: the end is an hour away.
    """
    known = measure(TESTS, found, modules, workers)
    if known.failed:
        raise SystemExit(f"fails without any mutant: {', '.join(known.failed)}")
    chosen = [mutant for mutant in found if mutant.module in modules]
    print(f"{len(chosen)} mutants, {len(known.seconds)} tests", flush=True)
    verdicts, killed = [], 0
    for verdict in trials(chosen, TESTS, known, workers):
        verdicts.append(verdict)
        killed += verdict.killed
        for complaint in complaints([verdict], accepted, ()):
            print(complaint, flush=True)
        if len(verdicts) % 100 == 0:
            print(f"{len(verdicts)} tried, {killed} killed", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
