"""What people do in the midst of a rollout, and whether it ends as they asked last.

`python -m tests.faults.people wants-a-third 10` replays what somebody does the moment that the tenth write is
sent, counted from the operator's start.
"""

from __future__ import annotations

import sys

from tests.sim.faults import Channel
from tests.sim.minds import calm, deed
from tests.sim.runner import Run, numbers, play, reference
from tests.sim.stage import Stage


def moments(mind: str) -> range:
    """The numbers of the writes of the same rollout when nobody meddles with it."""
    return numbers(reference(calm(mind)), Channel.WRITE)


def problems(mind: str, number: int) -> list[str]:
    """What goes wrong where somebody does this at that write."""
    act = deed(mind)

    def disturb(stage: Stage) -> None:
        stage.script.at(Channel.WRITE, number, lambda: act(stage))

    return play(Run(mind), None, disturb).problems


def main() -> int:
    mind, number = sys.argv[1:]
    found = problems(mind, int(number))
    print(*found or ["all is well"], sep="\n")  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
