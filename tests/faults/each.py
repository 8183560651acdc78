"""The workloads as parameters of tests; variants of others are for the nightly tier."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet
from tests.sim.workloads import VARIANTS, WORKLOADS

Way = TypeVar("Way")


def each_way(workload: str, numbers: Iterable[int], ways: Sequence[Way]) -> Iterator[tuple[int, Way]]:
    """Every way at each number. Of a variant, which asks for much the same as another, one way in turn."""
    for turn, number in enumerate(numbers):
        in_turn = (ways[turn % len(ways)],) if workload in VARIANTS else ways
        yield from ((number, way) for way in in_turn)


def _all_but(nightly: Collection[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=pytest.mark.nightly if name in nightly else ()) for name in WORKLOADS]


EACH = _all_but(VARIANTS)

FEW = _all_but((*VARIANTS, "hot-reload"))
"""For what takes longest: a hot reload asks the API server for nothing that other rollouts do not."""
