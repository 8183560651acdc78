"""Class 14: whatever others do to what the operator keeps, what is ours is put right in seconds."""

from __future__ import annotations

import pytest
from tests.faults.conftest import Count
from tests.faults.drift import ADD, APPLY, DELETE, KINDS, REMOVE, UPDATE, WAYS, Drift, drifts, played
from tests.faults.judging import none_wrong

from sluicegate.kube.errors import ApiError

FORBIDDEN = {UPDATE: 9, APPLY: 25, REMOVE: 50, ADD: 3, DELETE: 0}
"""Of each way, at most as many drifts are such that the API server refuses them."""


@pytest.mark.parametrize("way", WAYS)
def test_what_others_do_is_put_right_within_seconds_and_no_pod_is_replaced(way: str, count: Count) -> None:
    count(14, all_put_right(way, away=False))


@pytest.mark.parametrize("way", WAYS)
def test_what_others_did_while_no_operator_ran_is_put_right_by_the_next(way: str, count: Count) -> None:
    count(14, all_put_right(way, away=True))


def all_put_right(way: str, *, away: bool) -> int:
    """Try every drift of a way; returns how many the API server let happen."""
    made: list[Drift] = []
    refused: list[str] = []
    wrong: dict[str, list[str]] = {}
    for drift in (drift for kind in KINDS for drift in drifts(kind, way)):
        try:
            problems = played(drift, away=away)
        except ApiError as error:
            refused.append(f"{drift}: {error}")
            continue
        made.append(drift)
        if problems:
            wrong[f"python -m tests.faults.drift '{'away ' if away else ''}{drift}'"] = problems
    none_wrong(len(made), wrong)
    assert len(refused) <= FORBIDDEN[way], "\n  ".join(["the API server refused:", *refused])
    return len(made)
