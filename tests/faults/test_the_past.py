"""Class 11: after any number of events an API server answers that has seen none of them, for 5 s."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH
from tests.faults.judging import all_well
from tests.sim.faults import PAST, Channel, line
from tests.sim.runner import Run, numbers, reference

REPLACED = (
    "manual-promotion",
    "aborted",
    "rolled-back",
    "hot-reload-rolled-back",
    "hot-reload-regression",
    "regression-observed",
    "crash-after-cutover",
    "wrong-golden-answer",
    "job-fails",
    "webhook-refuses",
    "swap",
    "swap-restored",
    "surge-then-swap",
    "hot-reload-in-new-pods",
)
"""The past, believed, asks for what was before. The rollout that somebody answers to, or that had failed, is
over, and another one takes its place. A swap gives its version up for pods that are not there any more. And
pods that are told to change back, and then not to, have a note of that."""


@pytest.mark.parametrize("workload", [each for each in EACH if each.values[0] not in REPLACED])
def test_what_an_api_server_says_of_the_past_undoes_nothing(workload: str, count: Count) -> None:
    lines = numbers(reference(workload), Channel.LINE)
    count(11, all_well(Run(workload, 0, (line(number, PAST),)) for number in lines))
