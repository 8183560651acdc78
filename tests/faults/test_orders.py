"""Classes 5, 7 and 8: whatever becomes of an order to a pod that changes in place, the end is the same."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import all_well
from tests.sim.faults import CRASHES, LOST, RESET, TIMEOUT, Channel, order
from tests.sim.hot_reloads import HOT_RELOADS
from tests.sim.runner import Run, numbers, reference
from tests.sim.workloads import WORKLOADS

BACK = "hot-reload-regression"
"""Pods change, and change back."""
ELSEWHERE = "hot-reload-from-elsewhere"
"""No pod is told anything there."""
IN_PLACE = [
    name for name in (*WORKLOADS, *HOT_RELOADS) if name.startswith("hot-reload") and name != ELSEWHERE
]
EACH = [pytest.param(name, marks=pytest.mark.nightly if name != BACK else ()) for name in IN_PLACE]


@pytest.mark.parametrize("workload", EACH)
def test_a_kill_at_any_order_to_a_pod_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    orders = numbers(reference(workload), Channel.ORDER)
    count(5, all_well(Run(workload, 0, (order(number, what),)) for number in orders for what in CRASHES))


@pytest.mark.parametrize("workload", EACH)
def test_an_order_that_does_not_arrive_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    orders = numbers(reference(workload), Channel.ORDER)
    ways = (RESET, TIMEOUT)
    count(7, all_well(Run(workload, 0, (order(number, what),)) for number in orders for what in ways))


@pytest.mark.nightly
@pytest.mark.parametrize("workload", IN_PLACE)
def test_an_order_whose_answer_is_lost_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    orders = numbers(reference(workload), Channel.ORDER)
    count(8, all_well(Run(workload, 0, (order(number, LOST),)) for number in orders))
