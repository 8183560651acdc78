"""Where there is no room for all: who waits says so, and goes on when there is some."""

from __future__ import annotations

from tests.sim.runner import Run, play
from tests.sim.server.store import Change
from tests.sim.stage import Stage

from sluicegate.core.objects import condition


def test_of_two_rollouts_that_want_the_last_place_one_waits_and_says_so() -> None:
    said: dict[str, str] = {}

    def listen(stage: Stage) -> None:
        stage.server.store.listeners.append(hear)

    def hear(change: Change) -> None:
        ready = condition(change.new, "Ready") if change.key[0].endswith("/llmdeployments") else None
        if ready is not None and ready["reason"] == "InsufficientAccelerators":
            said[change.key[2]] = ready["message"]

    result = play(Run("one-place-for-two"), None, listen)

    assert not result.problems
    assert len(said) == 1, said
    asks = "it asks for 1 x 4 nvidia.com/gpu, the nodes have 12 in all, and 1 of this deployment's pods hold"
    assert asks in "".join(said.values())
