"""When whoever found the queue full is asked to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_engine.drain import Drain, retry_after

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("waiting", "left", "seconds", "told"),
    [
        (100, 50, 10, 20),
        (100, 51, 10, 20),
        (1, 3, 1, 1),
        (10, 1, 0.01, 1),
        (256, 1, 10, 60),
        (0, 0, 1000, 1),
        (3, 0, 2, 6),
        (3, 1, 2, 6),
        (3, 0, 0, 1),
    ],
    ids=str,
)
def test_it_is_as_long_as_those_who_wait_need_at_the_pace_at_which_others_left(
    waiting: int, left: int, seconds: float, told: int
) -> None:
    assert retry_after(waiting, left, int(seconds * SECOND)) == told


@given(st.integers(0, 10**6), st.integers(0, 64), st.integers(0, 10**15))
def test_it_is_a_whole_number_from_1_to_60_that_grows_with_the_queue_and_with_the_time(
    waiting: int, left: int, nanoseconds: int
) -> None:
    told = retry_after(waiting, left, nanoseconds)
    assert type(told) is int
    assert 1 <= told <= 60
    assert retry_after(waiting + 1, left, nanoseconds) >= told
    assert retry_after(waiting, left, nanoseconds + SECOND) >= told
    assert retry_after(waiting, left + 1, nanoseconds) <= told


def test_only_the_last_64_that_left_count() -> None:
    now = 0
    drain = Drain(lambda: now)
    drain.begin()
    for seconds in [10] * 64 + [1] * 64:
        now += seconds * SECOND
        drain.left()
    assert drain.retry_after(20) == 20


def test_before_anybody_waits_it_is_a_second() -> None:
    assert Drain(lambda: SECOND).retry_after(0) == 1
