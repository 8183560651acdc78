"""Trials of a toy module, and what is said about the list of those that may survive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.mutation.accepted import complaints, held_elsewhere, listed, rows, table
from tests.mutation.mutants import Mutant
from tests.mutation.trials import Measured, Verdict, imports

MODULE = """
from functools import cache, cached_property

LIMIT = 3
SPARE = 3
HEIGHTS = range(3)
assert len(HEIGHTS) == 3

class Door:
    @property
    def height(self):
        return 2

    @cached_property
    def area(self):
        return 6 + 1

def small(number):
    return number < LIMIT

@cache
def double(number):
    return number * 2

def lower(number):
    while number > 0:
        number -= 1
    return number
"""
TESTS = """
from toy import Door, double, lower, small
def test_small(): assert small(2) and not small(4)
def test_lower(): assert lower(2) == 0
def test_door(): assert Door().height == 2
def test_area(): assert Door().area == 7
def test_double(): assert double(3) == 6
"""
RUN = """
import sys
from pathlib import Path
from tests.mutation.mutants import mutants
from tests.mutation.trials import measure, trials
found = mutants("toy", Path("toy.py").resolve())
tests = ["test_toy.py"]
known = measure(tests, found, ["toy"], 2)
assert not known.failed, known.failed
for verdict in trials(found, tests, known, 2):
    print(verdict.mutant.name, "|", verdict.killer, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def killers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What killed each mutant of the toy. Its tests are collected in a process of their own."""
    folder = tmp_path_factory.mktemp("toy")
    for name, text in (("toy.py", MODULE), ("test_toy.py", TESTS), ("run.py", RUN)):
        (folder / name).write_text(text)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{root}", "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = (line.partition(" | ") for line in done.stderr.splitlines())
    return {name.removeprefix("toy"): killer.rpartition("::")[2] for name, _, killer in told}


@pytest.mark.parametrize(
    ("mutant", "killer"),
    [
        (".small: return number < LIMIT -> return None", "test_small"),
        (".small: number < LIMIT -> number <= LIMIT", ""),
        (".lower: number -= 1 -> pass", "test_lower"),
        (".lower: while number > 0: -> pass", None),
        (".Door.height: 2 -> 3", "test_door"),
        (".Door.area: 6 + 1 -> 6 - 1", "test_area"),
        (".double: number * 2 -> number + 2", "test_double"),
        (".LIMIT: LIMIT = 3 -> LIMIT = 4", ""),
        (".SPARE: SPARE = 3 -> SPARE = 4", ""),
        (".HEIGHTS: range(3) -> range(4)", "the import"),
    ],
)
def test_a_mutant_is_killed_by(killers: Mapping[str, str], mutant: str, killer: str | None) -> None:
    assert killers.get(mutant) == killer


def a_verdict(name: str, killer: str) -> Verdict:
    module = f"house.{name.partition(':')[0]}"
    return Verdict(Mutant(module, Path("door.py"), "", name, range(7, 8), (), 0), killer, 3)


KILLED, LEFT = a_verdict("door: a -> b", "test_door"), a_verdict("door: c -> d", "")


def test_a_list_that_names_the_survivors_is_true() -> None:
    assert list(complaints([KILLED, LEFT], {"door: c -> d": "why"}, ["door"])) == []


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ((), "survived, write a test or give a reason (door.py:7, 3 tests can tell it): door: c -> d"),
        (("door: c -> d", "door: a -> b"), "listed, but a test kills it: door: a -> b"),
        (("door: c -> d", "door.f: e -> f"), "listed, but there is no such mutant: door.f: e -> f"),
    ],
    ids=["a survivor is not listed", "a listed one is killed", "a listed one is gone"],
)
def test_a_list_is_wrong_where(accepted: tuple[str, ...], said: str) -> None:
    assert list(complaints([KILLED, LEFT], accepted, ["door"])) == [said]


def test_nothing_is_said_about_modules_that_were_not_tried() -> None:
    assert list(complaints([KILLED], ["window.f: a -> b"], ["door"])) == []


def test_what_is_accepted_does_not_count_as_killed() -> None:
    found = rows([KILLED, LEFT, a_verdict("window: a -> b", "test_window")], {"door: c -> d": "why"})

    assert [(row.module, row.mutants, row.killed, row.accepted) for row in found] == [
        ("door", 2, 1, 1),
        ("window", 1, 1, 0),
        ("all", 3, 2, 1),
    ]
    assert table(found).splitlines()[1].split() == ["door", "2", "1", "1", "50.0", "%"]


@pytest.mark.parametrize("entries", [[""], ["why", "why"]], ids=["no reason", "listed twice"])
def test_each_survivor_is_listed_once_with_a_reason(tmp_path: Path, entries: list[str]) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text("".join(f'[[accepted]]\nreason = "{why}"\nmutants = ["a"]\n' for why in entries))

    with pytest.raises(ValueError, match="list it once, with a reason: a"):
        listed(file)


def test_what_other_tests_hold_is_named_by_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text('[[elsewhere]]\nreason = "why"\nowners = ["door.WORDS"]\n')

    assert "door.WORDS: 'a' -> 'b'".startswith(held_elsewhere(file))
    assert not "door.WORDS_OF_OTHERS: 'a' -> 'b'".startswith(held_elsewhere(file))


def test_quick_tests_come_first_after_those_that_killed_and_only_those_that_tell() -> None:
    seconds = {"slow": 2.0, "quick": 1.0, "far": 0.1, "user": 0.5}
    known = Measured(seconds, {"door.f: a -> b": {"slow", "quick"}}, {"door": {"user", "slow"}}, ())

    in_a_function = Mutant("door", Path("door.py"), "f", "door.f: a -> b", range(7, 8), (), 0)
    another = Mutant("door", Path("door.py"), "f", "door.f: a -> c", range(7, 8), (), 0)
    at_import = Mutant("door", Path("door.py"), "", "door.A: 1 -> 2", range(1, 2), (), 0)

    assert known.order(in_a_function, {}) == ["quick", "slow"]
    assert known.order(in_a_function, {"slow": 1}) == ["slow", "quick"]
    assert known.order(in_a_function, {"slow": 1}, ("far", "quick")) == ["quick", "slow"]
    assert known.order(another, {}) == []
    assert known.order(at_import, {}) == ["user", "slow"]


def test_of_the_many_that_import_a_module_tests_are_tried_as_far_as_the_budget_goes() -> None:
    each = {f"test {number}": 8.0 + 4 * number for number in range(5)}
    known = Measured(each, {"door.f: a -> b": set(each)}, {"door": set(each)}, ())

    in_a_function = Mutant("door", Path("door.py"), "f", "door.f: a -> b", range(7, 8), (), 0)
    at_import = Mutant("door", Path("door.py"), "", "door.A: 1 -> 2", range(1, 2), (), 0)

    assert known.order(in_a_function, {}) == list(each)
    assert known.order(at_import, {}) == ["test 0", "test 1", "test 2"]
    assert known.order(at_import, {}, ["test 4"]) == ["test 4", "test 0"]


@pytest.mark.parametrize(
    ("line", "imported"),
    [
        ("from house.door import LIMIT", True),
        ("from house import door", True),
        ("from house import attic, door", True),
        ("from house.doors import LIMIT", False),
        ("from house import doors", False),
        ("import house", False),
        ("# from house import door", False),
    ],
)
def test_a_file_of_tests_is_near_the_modules_that_it_imports(
    tmp_path: Path, line: str, imported: bool
) -> None:
    file = tmp_path / "test_door.py"
    file.write_text(f'"""Doors."""\n\n{line}\n')

    assert imports(str(file), "house.door") is imported
