"""Classes 7 and 8: every request that the operator makes fails in every way, one at a time."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH
from tests.faults.judging import all_well
from tests.sim.faults import AMBIGUOUS, ERRORS, Channel, Fault, call, write
from tests.sim.runner import Run, numbers, reference


@pytest.mark.parametrize("what", ERRORS)
@pytest.mark.parametrize("workload", EACH)
def test_any_request_may_fail_so(workload: str, what: str, count: Count) -> None:
    calls = numbers(reference(workload), Channel.CALL)
    count(7, all_well(Run(workload, 0, (call(number, what),)) for number in calls))


@pytest.mark.parametrize("what", ERRORS)
def test_any_request_for_the_lease_may_fail_so(what: str, count: Count) -> None:
    calls = numbers(reference("version-change"), Channel.LEASE)
    faults = (Fault(Channel.LEASE, number, what) for number in calls)
    count(7, all_well(Run("version-change", 0, (each,)) for each in faults))


@pytest.mark.parametrize("what", AMBIGUOUS)
@pytest.mark.parametrize("workload", EACH)
def test_a_write_whose_answer_is_lost_is_made_once(workload: str, what: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    count(8, all_well(Run(workload, 0, (write(number, what),)) for number in writes))
