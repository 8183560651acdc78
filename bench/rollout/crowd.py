"""How long rollouts wait for each other: many at once in the simulator, whose time is virtual.

Each request takes as long as on a real API server (python -m bench.operator.latency), retries share the work
queue's token bucket, and nodes take as long for each pod: what differs from a rollout alone is the waiting.
"""

from __future__ import annotations

import argparse

from tests.faults.rolling import delays, walks

from bench.operator.figures import Bar, Figure, add_output, show

ALONE = 10


def figures(deployments: int, rollouts: int) -> list[Figure]:
    """The longest wait in any step of any rollout, and how long the rollouts took."""
    alone = walks(deployments, min(ALONE, rollouts), at_once=False)
    together = walks(deployments, rollouts, at_once=True)
    waits = {step: max(waited) for step, waited in delays(alone, together).items()}
    what = f"{rollouts} rollouts at once of {deployments} deployments"
    return [
        Figure(f"{what}: the longest wait in a step", "s", [max(waits.values())], Bar("≤", 5)),
        *(Figure(f"  in {step}", "s", [wait]) for step, wait in waits.items()),
        Figure("  from the edit to the end, together", "s", [each.seconds for each in together]),
        Figure("  from the edit to the end, one alone", "s", [each.seconds for each in alone]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rollout.crowd", description=__doc__)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--rollouts", type=int, default=100)
    add_output(parser)
    options = parser.parse_args()
    show(figures(options.deployments, options.rollouts), options.output)


if __name__ == "__main__":
    main()
