"""The workloads as parameters of tests; variants of others are for the nightly tier."""

from __future__ import annotations

import pytest
from tests.sim.workloads import VARIANTS, WORKLOADS

EACH = [pytest.param(name, marks=pytest.mark.nightly if name in VARIANTS else ()) for name in WORKLOADS]
