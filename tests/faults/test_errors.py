"""Classes 7 and 8: every request that the operator makes fails in every way, one at a time."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.each import EACH, FEW, each_way
from tests.faults.judging import all_well
from tests.sim.faults import (
    ALIKE_IN_READS,
    ALIKE_IN_WRITES,
    AMBIGUOUS,
    ERRORS,
    Channel,
    Fault,
    call,
    write,
)
from tests.sim.runner import Run, numbers, reference
from tests.sim.wire import Call
from tests.sim.workloads import VARIANTS

HALVES = pytest.mark.parametrize("half", [0, 1], ids=["odd", "even"])
"""What a run of the workload has in common with its faults is played once for many: a test of its own for
each error would do it a dozen times."""
TURNS = 6
"""Where much the same is asked for as by another workload, each way has its turn at every sixth request, and
one of those that are alike."""


@HALVES
@pytest.mark.parametrize("workload", FEW)
def test_any_request_may_fail_in_any_way(workload: str, half: int, nightly: bool, count: Count) -> None:
    is_variant = workload in VARIANTS
    turns = TURNS if is_variant else 1
    runs = [
        (each.number, what)
        for each in _requests(workload)[half::2]
        for what in _ways(each, even_alike=nightly and not is_variant)[each.number // 2 % turns :: turns]
    ]
    count(7, all_well(Run(workload, 0, (call(number, what),)) for number, what in runs))


def _requests(workload: str) -> list[Call]:
    result = reference(workload)
    changed = numbers(result, Channel.CALL)
    return [each for each in result.journal.calls if each.channel is Channel.CALL and each.number in changed]


def _ways(request: Call, *, even_alike: bool) -> list[str]:
    alike = ALIKE_IN_WRITES if request.is_write else ALIKE_IN_READS
    return [what for what in ERRORS if even_alike or what not in alike]


@pytest.mark.parametrize("what", ERRORS)
def test_any_request_for_the_lease_may_fail_so(what: str, count: Count) -> None:
    calls = numbers(reference("version-change"), Channel.LEASE)
    faults = (Fault(Channel.LEASE, number, what) for number in calls)
    count(7, all_well(Run("version-change", 0, (each,)) for each in faults))


@pytest.mark.parametrize("workload", EACH)
def test_a_write_whose_answer_is_lost_is_made_once(workload: str, count: Count) -> None:
    writes = numbers(reference(workload), Channel.WRITE)
    runs = each_way(workload, writes, AMBIGUOUS)
    count(8, all_well(Run(workload, 0, (write(number, what),)) for number, what in runs))
