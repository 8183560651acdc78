"""Class 11: after any number of events an API server answers that has seen none of them, for 5 s."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import all_well
from tests.sim.faults import PAST, Channel, line
from tests.sim.runner import Run, numbers, reference
from tests.sim.workloads import WORKLOADS


@pytest.mark.parametrize("workload", WORKLOADS)
def test_what_an_api_server_says_of_the_past_undoes_nothing(workload: str, count: Count) -> None:
    lines = numbers(reference(workload), Channel.LINE)
    count(11, all_well(Run(workload, 0, (line(number, PAST),)) for number in lines))
