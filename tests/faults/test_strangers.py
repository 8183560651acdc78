"""Class 14: whoever is faster than a request of the operator keeps what is theirs, and no work is lost."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.judging import none_wrong
from tests.faults.strangers import COPIES, WAYS, points, problems

MADE, BUSY, ADDED = "create", "version-change", "added-to"
NIGHTLY = pytest.mark.nightly
EACH = [
    *((MADE, way) for way in WAYS),
    *(pytest.param(BUSY, way, marks=NIGHTLY) for way in WAYS),
    *((ADDED, way) for way in WAYS if way != COPIES),
]
"""Nothing is made where somebody adds to what is there."""


@pytest.mark.parametrize(("workload", "way"), EACH)
def test_what_somebody_does_just_before_a_request_arrives_harms_nobody(
    workload: str, way: str, count: Count
) -> None:
    made = points(workload, way)
    wrong = {
        f"python -m tests.faults.strangers {workload} '{way}' {each.number}": found
        for each in made
        if (found := problems(workload, way, each))
    }
    count(14, none_wrong(len(made), wrong))
