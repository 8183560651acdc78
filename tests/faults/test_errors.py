"""Classes 7 and 8: every request that the operator makes fails in every way, one at a time."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH, FEW
from tests.faults.judging import all_well
from tests.sim.faults import ALIKE, AMBIGUOUS, ERRORS, Channel, Fault, call, write
from tests.sim.runner import Run, numbers, reference
from tests.sim.workloads import VARIANTS

HALVES = pytest.mark.parametrize("half", [0, 1], ids=["odd", "even"])
"""What a run of the workload has in common with its faults is played once for many: a test of its own for
each error would do it a dozen times."""
TURNS = 3
"""Where much the same is asked for as by another workload, each way has its turn at every third request."""


@HALVES
@pytest.mark.parametrize("workload", FEW)
def test_any_request_may_fail_in_any_way(workload: str, half: int, nightly: bool, count: Count) -> None:
    ways = [what for what in ERRORS if nightly or what not in ALIKE]
    turns = TURNS if workload in VARIANTS else 1
    calls = numbers(reference(workload), Channel.CALL)[half::2]
    runs = [(number, what) for number in calls for what in ways[number // 2 % turns :: turns]]
    count(7, all_well(Run(workload, 0, (call(number, what),)) for number, what in runs))


@pytest.mark.parametrize("what", ERRORS)
def test_any_request_for_the_lease_may_fail_so(what: str, count: Count) -> None:
    calls = numbers(reference("version-change"), Channel.LEASE)
    faults = (Fault(Channel.LEASE, number, what) for number in calls)
    count(7, all_well(Run("version-change", 0, (each,)) for each in faults))


@pytest.mark.parametrize("workload", EACH)
def test_a_write_whose_answer_is_lost_is_made_once(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    count(8, all_well(Run(workload, 0, (write(number, what),)) for number in writes for what in AMBIGUOUS))
