"""The rows that a measured reload makes."""

from __future__ import annotations

import pytest
from bench.reload.report import (
    Machine,
    Parts,
    Rollback,
    Staging,
    copy_figure,
    machine_figures,
    rollback_figures,
    staging_figures,
    switch_figures,
)

MACHINE = Machine(up=50e9, down=40e9, weights=10_000_000_000)
PARTS = [
    Parts(drain=2.0, gate=0.02, copy=copy, check=0.01, pause=copy + 0.05, held=2.5) for copy in (0.21, 0.23)
]


def test_the_machine_sets_the_floor() -> None:
    assert [figure.value for figure in machine_figures(MACHINE)] == [50, 40, 10, 0.2]
    figure = copy_figure(MACHINE, PARTS)
    assert figure.value == pytest.approx(1.1)
    assert figure.verdict == "met"
    assert copy_figure(MACHINE, PARTS[1:]).verdict == "missed"


def test_a_pause_is_told_whole_and_in_parts() -> None:
    rows = switch_figures("from here", PARTS, bar=0.3)
    assert {row.name.strip(): row.value for row in rows} == {
        "from here: pause": pytest.approx(0.27),
        "drain, before it": 2.0,
        "gate": 0.02,
        "copy": pytest.approx(0.22),
        "check": 0.01,
        "new requests held, all in all": 2.5,
    }
    assert [row.verdict for row in rows] == ["met", *5 * [""]]
    assert switch_figures("from here", PARTS, bar=0.26)[0].verdict == "missed"


def test_a_rollback_may_take_as_long_as_a_switch() -> None:
    assert [row.verdict for row in rollback_figures("x", [Rollback(0.4, 1.0)])] == ["met", ""]
    assert rollback_figures("x", [Rollback(0.41, 1.0)])[0].verdict == "missed"


def test_staging_is_held_against_what_was_before_and_its_worst_gap_counts() -> None:
    rows = staging_figures("y", [Staging(3.0, 92.0, 0.1), Staging(4.0, 93.0, 0.31)], before=100.0)
    assert [row.verdict for row in rows] == ["", "", "met", "missed"]
    assert staging_figures("y", [Staging(3.0, 91.0, 0.3)], before=100.0)[2].verdict == "missed"
