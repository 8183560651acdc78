"""What turns of bare vLLM and of a pod say of the gate."""

from __future__ import annotations

import pytest
from bench.gate.cost import Turn, compare, share

BARE = [
    Turn(rate=100, loaded=20, thinking=15, alone=10, failures=0),
    Turn(rate=200, loaded=30, thinking=16, alone=11, failures=0),
]
OURS = [
    Turn(rate=99, loaded=20.5, thinking=15.75, alone=10.25, failures=1),
    Turn(rate=190, loaded=30.5, thinking=16.25, alone=11.5, failures=2),
]


def test_each_round_is_compared_within_itself() -> None:
    found = compare(BARE, OURS)
    lost, loaded, thinking, alone = (figure for figure in found if figure.name in ("  lost", "  added"))

    assert lost.runs == pytest.approx([1, 5])
    assert loaded.runs == [0.5, 0.5]
    assert thinking.runs == [0.75, 0.25]
    assert alone.runs == [0.25, 0.5]


def test_a_request_that_failed_with_either_counts() -> None:
    assert compare(BARE, OURS)[-1].runs == [3]
    assert compare(BARE, OURS)[-1].verdict == "missed"
    assert compare(OURS, BARE)[-1].runs == [3]


def test_clients_and_servers_share_no_processor_where_there_are_four() -> None:
    assert share(range(16)) == ({0, 1, 2, 3}, set(range(4, 16)))
    assert share({7, 2, 5, 4}) == ({2}, {4, 5, 7})
    assert share({0, 1}) == ({0, 1}, {0, 1})
