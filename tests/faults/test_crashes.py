"""Classes 5 and 6: killed at any write, once or twice, the operator comes to the same end."""

from __future__ import annotations

import random
from itertools import combinations, product

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH, each_way
from tests.faults.judging import all_well
from tests.sim.faults import AFTER, BEFORE, CRASHES, Channel, write
from tests.sim.runner import Run, numbers, reference
from tests.sim.workloads import VARIANTS, WORKLOADS


@pytest.mark.parametrize("workload", EACH)
def test_a_kill_before_any_write_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    count(5, all_well(Run(workload, 0, (write(number, BEFORE),)) for number in writes))


@pytest.mark.parametrize("workload", EACH)
def test_a_kill_after_any_write_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    count(5, all_well(Run(workload, 0, (write(number, AFTER),)) for number in writes))


@pytest.mark.nightly
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_kill_at_each_of_two_writes_in_a_row_changes_nothing_of_the_end(
    workload: str, count: Count
) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    pairs = [
        (write(number, first), write(number + 1, second))
        for number, (first, second) in each_way(workload, writes, TWICE)
    ]
    count(6, all_well(Run(workload, 0, pair) for pair in pairs))


@pytest.mark.nightly
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_kill_at_any_two_writes_changes_nothing_of_the_end(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    pairs = [
        (write(first, before), write(second, after))
        for first, second in combinations(writes, 2)
        for before, after in product(CRASHES, repeat=2)
    ]
    wanted = FEWER_PAIRS if workload in VARIANTS else PAIRS
    chosen = random.Random(workload).sample(pairs, min(wanted, len(pairs)))
    count(6, all_well(Run(workload, 0, pair) for pair in chosen))


PAIRS = 60
FEWER_PAIRS = 20
"""Of a workload that asks for much the same as another."""
TWICE = (("crash-after", "crash-before"), ("crash-before", "crash-after"))
