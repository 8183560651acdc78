"""Who is with the engine, as somebody else reads it."""

from __future__ import annotations

import mmap

import pytest

from sluicegate_engine.roster import Roster, read, size_of

REQUESTS, SUSPECTS = 2, 1


@pytest.fixture
def memory() -> mmap.mmap:
    return mmap.mmap(-1, size_of(REQUESTS, SUSPECTS))


@pytest.fixture
def roster(memory: mmap.mmap) -> Roster:
    return Roster(memory)


def name(number: int) -> str:
    return f"{number:032x}"


def present(memory: mmap.mmap) -> set[int]:
    return {int(each, 16) for each in read(memory).present}


def test_who_has_come_is_there_until_it_is_answered(roster: Roster, memory: mmap.mmap) -> None:
    first, second = roster.enter(name(1)), roster.enter(name(2))
    assert present(memory) == {1, 2}
    roster.leave(first, answered=True)
    assert present(memory) == {2}
    roster.leave(second, answered=True)
    assert present(memory) == set()


def test_the_same_request_may_be_there_twice(roster: Roster, memory: mmap.mmap) -> None:
    first = roster.enter(name(1))
    roster.enter(name(1))
    roster.leave(first, answered=True)
    assert present(memory) == {1}


def test_who_leaves_without_an_answer_stays_until_somebody_later_has_one(
    roster: Roster, memory: mmap.mmap
) -> None:
    lost, beside = roster.enter(name(1)), roster.enter(name(2))
    roster.leave(lost, answered=False)
    # who was there before proves nothing
    roster.leave(beside, answered=True)
    assert present(memory) == {1}
    later = roster.enter(name(3))
    roster.leave(later, answered=True)
    assert present(memory) == set()


def test_of_those_without_an_answer_the_oldest_give_way(roster: Roster, memory: mmap.mmap) -> None:
    for number in range(1000):
        roster.leave(roster.enter(name(number)), answered=False)
    here = [roster.enter(name(number)) for number in range(1000, 1000 + REQUESTS)]
    found = present(memory)
    assert len(here) == REQUESTS
    assert found == set(range(1002 - len(found), 1002))
    assert len(found) >= 64


def test_a_suspect_that_is_cleared_stays_so(roster: Roster, memory: mmap.mmap) -> None:
    roster.leave(roster.enter(name(1)), answered=True)
    roster.clear(name(1))
    for number in range(1000):
        roster.leave(roster.enter(name(number)), answered=bool(number % 3))
    assert read(memory).cleared == {name(1)}
