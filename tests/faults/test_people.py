"""Class 27: whatever people do at any write of a rollout, it ends as they asked last."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import none_wrong
from tests.sim.faults import Channel
from tests.sim.minds import CALM, DEEDS
from tests.sim.runner import Run, numbers, play, reference
from tests.sim.stage import Stage


@pytest.mark.parametrize("deed", DEEDS)
def test_a_rollout_ends_as_people_asked_last_whenever_they_did(deed: str, count: Count) -> None:
    writes = numbers(reference(CALM), Channel.WRITE)
    wrong = {f"at write {number}": found for number in writes if (found := problems(deed, number))}
    count(27, none_wrong(len(writes), wrong))


def problems(deed: str, number: int) -> list[str]:
    """What goes wrong where somebody does this the moment that the write is sent."""
    act, _ = DEEDS[deed]

    def disturb(stage: Stage) -> None:
        stage.script.at(Channel.WRITE, number, lambda: act(stage))

    return play(Run(deed.replace(" ", "-")), None, disturb).problems
