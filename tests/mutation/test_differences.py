"""Where mutants of a toy module make a difference."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from importlib import import_module, invalidate_caches
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.mutation.differences import Differences
from tests.mutation.mutants import mutants

MODULE = """
from functools import cache, cached_property

class Door:
    def __init__(self, width):
        self.width = width

    @cached_property
    def wide(self):
        return self.width > 1

    @property
    def passable(self):
        return self.width > 0 and self.wide

@cache
def double(number):
    return number * 2

@cache
def kept(number):
    return []

def odd(number):
    verdict = kept(number)
    if not verdict:
        verdict.append(number % 2 > 0)
    return verdict[0]

def words(text):
    yield text
    yield f"{text}."

def first(numbers):
    return min(numbers)

def lower(number):
    while number > 0:
        number -= 1
    return number

def many(numbers):
    return sum(numbers) > 5

def positions(numbers):
    return {number: numbers.index(number) for number in sorted(numbers, reverse=True)}

def halved(number):
    if number > 5:
        number = halved(number // 2)
    return number
"""

_NAMES = count()


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The toy's, which is another one for each test: watching changes it for good."""
    name = f"watched_{next(_NAMES)}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    before = signal.getsignal(signal.SIGVTALRM)
    yield name
    signal.signal(signal.SIGVTALRM, before)


class Watched:
    """The toy, and who tells what in it."""

    def __init__(self, name: str, chosen: Collection[str] = ()) -> None:
        self.toy: Any = import_module(name)
        self.name = name
        self.differences = Differences(mutants(name, Path(self.toy.__file__)), chosen or [name])
        self.differences.begin("test")

    def told(self, mutant: str) -> set[str]:
        return self.differences.told[f"{self.name}.{mutant}"]


def test_a_test_tells_a_mutant_that_once_gives_another_result_in_it(name: str) -> None:
    watched = Watched(name)

    assert watched.toy.double(2) == 4
    watched.differences.begin("other test")
    assert watched.toy.double(3) == 6

    assert watched.told("double: number * 2 -> number + 2") == {"other test"}
    assert watched.told("double: number * 2 -> number * 3") == {"test", "other test"}
    assert watched.differences.users == {name: {"test", "other test"}}


def test_what_one_test_has_cached_the_next_one_asks_again(name: str) -> None:
    watched = Watched(name)

    watched.toy.double(3)
    watched.differences.begin("other test")
    watched.toy.double(3)

    assert watched.told("double: number * 2 -> number + 2") == {"test", "other test"}


def test_what_only_a_mutant_asked_for_is_not_cached(name: str) -> None:
    watched = Watched(name)
    door = watched.toy.Door(0)

    assert not door.passable
    assert not watched.told("Door.wide: return self.width > 1 -> return None")
    assert not door.wide

    assert watched.told("Door.wide: return self.width > 1 -> return None") == {"test"}
    assert not watched.told("Door.wide: self.width > 1 -> self.width >= 1")


def test_what_a_function_keeps_in_a_cache_does_not_answer_for_its_mutants(name: str) -> None:
    watched = Watched(name)

    assert watched.toy.odd(3)

    assert watched.told("odd: if not verdict: -> pass") == {"test"}


def test_what_a_function_yields_is_compared_and_still_comes(name: str) -> None:
    watched = Watched(name)

    assert list(watched.toy.words("a")) == ["a", "a."]

    assert watched.told("words: '.' -> '.~'") == {"test"}


def test_a_mapping_in_another_order_is_another_result(name: str) -> None:
    watched = Watched(name)

    assert list(watched.toy.positions([1, 2])) == [2, 1]

    assert watched.told("positions: reverse=True -> reverse=False") == {"test"}


def test_a_mutant_calls_itself(name: str) -> None:
    watched = Watched(name)

    assert watched.toy.halved(6) == 3

    # The function as it was would make 3 of 12 as well.
    assert watched.told("halved: halved(number // 2) -> halved(number * 2)") == {"test"}
    assert watched.told("halved: number > 5 -> number > 6") == {"test"}
    assert watched.told("halved: number > 5 -> number >= 5") == set()


def test_a_mutant_that_runs_in_circles_makes_a_difference(name: str) -> None:
    watched = Watched(name)

    assert watched.toy.lower(2) == 0

    assert watched.told("lower: number -= 1 -> pass") == {"test"}
    assert watched.told("lower: number -= 1 -> number -= 2") == set()


@pytest.mark.parametrize("calls", [1, 101], ids=["few calls", "more calls than are worth asking at"])
def test_a_mutant_that_answers_the_same_so_often_is_tried_all_the_same(name: str, calls: int) -> None:
    watched = Watched(name)

    for _ in range(calls):
        watched.toy.first([1, 1])

    assert watched.told("first: min(numbers) -> max(numbers)") == ({"test"} if calls > 100 else set())


def test_arguments_that_are_used_up_are_not_asked_with(name: str) -> None:
    watched = Watched(name)

    assert not watched.toy.many(iter([2, 3]))

    assert watched.told("many: sum(numbers) > 5 -> sum(numbers) >= 5") == {"test"}


def test_where_a_function_fails_all_its_mutants_are_tried(name: str) -> None:
    watched = Watched(name)

    with pytest.raises(ValueError, match="empty"):
        watched.toy.first([])

    assert watched.told("first: min(numbers) -> max(numbers)") == {"test"}


def test_mutants_of_modules_that_are_not_chosen_are_not_asked(name: str) -> None:
    watched = Watched(name, chosen=["another"])

    assert watched.toy.double(3) == 6
    assert watched.toy.Door(2).passable

    assert not any(watched.differences.told.values())
