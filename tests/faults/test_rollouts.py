"""Classes 2 and 5: a rollout that something rare befalls ends well, wherever its operator is killed."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import all_well
from tests.sim.faults import AFTER, Channel, write
from tests.sim.rollouts import ROLLOUTS
from tests.sim.runner import Run, numbers, reference

RARE = ("away-while-observed", "failed-before", "swap-with-less-history")
"""In the nightly tier alone."""
EACH = [pytest.param(each, marks=pytest.mark.nightly if each in RARE else ()) for each in ROLLOUTS]


@pytest.mark.parametrize("workload", EACH)
def test_what_befalls_a_rollout_does_not_keep_it_from_its_end(workload: str, count: Count) -> None:
    assert reference(workload).problems == []
    count(2, 1)


@pytest.mark.nightly
@pytest.mark.parametrize("workload", ROLLOUTS)
def test_nor_does_it_where_the_operator_is_killed_after_any_write(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    count(5, all_well(Run(workload, 0, (write(number, AFTER),)) for number in writes))
