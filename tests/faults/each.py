"""The workloads as parameters of tests; variants of others are for the nightly tier."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from _pytest.mark import ParameterSet
from tests.sim.workloads import VARIANTS, WORKLOADS


def _all_but(nightly: Collection[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=pytest.mark.nightly if name in nightly else ()) for name in WORKLOADS]


EACH = _all_but(VARIANTS)

FEW = _all_but((*VARIANTS, "hot-reload"))
"""For what takes longest: a hot reload asks the API server for nothing that other rollouts do not."""
