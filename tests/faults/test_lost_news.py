"""Class 9: every line of every watch is lost, or comes with what follows it."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import all_well
from tests.sim.faults import COALESCE, DROP, Channel, line
from tests.sim.runner import Run, numbers, reference
from tests.sim.workloads import WORKLOADS


@pytest.mark.parametrize("what", [DROP, COALESCE])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_any_line_of_a_watch_may_be_lost_or_late(workload: str, what: str, count: Count) -> None:
    lines = numbers(reference(workload), Channel.LINE)
    count(9, all_well(Run(workload, 0, (line(number, what),)) for number in lines))
