"""Replays one run and tells what happened: python -m tests.sim version-change 0 call:17:lost"""

from __future__ import annotations

import sys

from tests.sim.faults import Channel
from tests.sim.runner import EVERY_WORKLOAD, Result, beginning, play, reference, run


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, "Workloads: " + ", ".join(EVERY_WORKLOAD), sep="\n\n")  # noqa: T201
        return 2
    try:
        chosen = run(" ".join(arguments))
    except ValueError as unknown:
        print(f"error: {unknown}", file=sys.stderr)  # noqa: T201
        return 2
    wanted = reference(chosen.workload, chosen.seed) if chosen.faults else None
    result = play(chosen, wanted)
    for line in timeline(result, beginning(chosen.workload, chosen.seed).time):
        print(line)  # noqa: T201
    print(f"{chosen}: the end after {result.seconds:.1f} s")  # noqa: T201
    for problem in result.problems:
        print(f"  problem: {problem}")  # noqa: T201
    return 1 if result.problems else 0


def timeline(result: Result, start: float) -> list[str]:
    """What the operator asked and was told after the change, with seconds since the run began."""
    told = [
        (each.at, f"{each.channel.value}:{each.number:<4} {each.method:6} {each.outcome:12} {each.path}")
        for each in result.journal.calls
        if each.channel is Channel.CALL and each.number > result.before[Channel.CALL]
    ]
    told += [
        (each.sent, f"order:{each.number:<3} {'ORDER':6} {each.outcome:12} {each}")
        for each in result.journal.orders
        if each.number > result.before[Channel.ORDER]
    ]
    told += [
        (each.at, f"line:{each.number:<4} {each}")
        for each in result.journal.lines
        if each.number > result.before[Channel.LINE]
    ]
    return [f"{at - start:9.3f}  {text}" for at, text in sorted(told)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
