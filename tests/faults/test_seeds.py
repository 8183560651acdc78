"""Class 2: from any seed, and with pods of any pace, each workload comes to its end in good order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults.conftest import Count
from tests.sim.cluster.kubelet import Pace
from tests.sim.hot_reloads import HOT_RELOADS
from tests.sim.runner import Run, play
from tests.sim.stage import Stage
from tests.sim.workloads import OTHERS, WORKLOADS

SEEDS = 3
FEWER_SEEDS = 2
"""In the push tier."""
UNEQUAL = replace(Pace(), load=(0.5, 15.0))


@pytest.mark.parametrize("workload", [*WORKLOADS, *OTHERS, *HOT_RELOADS])
def test_each_workload_ends_well_from_any_seed(workload: str, nightly: bool, count: Count) -> None:
    seeds = range(SEEDS if nightly else FEWER_SEEDS)
    results = {seed: play(Run(workload, seed), None, unequal_pods, patience=60) for seed in seeds}
    wrong = {seed: result.problems for seed, result in results.items() if result.problems}
    assert not wrong
    count(2, len(seeds))


def unequal_pods(stage: Stage) -> None:
    stage.world.kubelet.pace = UNEQUAL
