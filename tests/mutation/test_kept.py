"""Kept mutants on a toy tree with a toy oracle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutation import guards
from tests.mutation.kept import ROOT, Mutant, survivors

DOOR = """
def opens(key, lock):
    return key == lock

def colour():
    return "red"
"""
CHECK = """
from house.door import opens
while opens("gold", "iron") is None: pass
assert opens("iron", "iron") and not opens("gold", "iron")
"""
COMMAND = (sys.executable, "check.py")
ANY_KEY = Mutant("any key", "operator/house/door.py", "key == lock", "True", "only its own key opens a door")
STUCK = Mutant("stuck", "operator/house/door.py", "return key == lock", "return None", "a door opens or not")
BLUE = Mutant("blue", "operator/house/door.py", '"red"', '"blue"', "nobody looks at its colour")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "operator" / "house").mkdir(parents=True)
    (tmp_path / "operator" / "house" / "door.py").write_text(DOOR)
    (tmp_path / "check.py").write_text(CHECK)
    return tmp_path


def test_only_the_mutant_that_the_command_does_not_notice_survives(tree: Path) -> None:
    told: dict[str, bool] = {}

    left = survivors(
        {ANY_KEY: COMMAND, BLUE: COMMAND},
        (COMMAND,),
        2,
        tree=tree,
        tell=lambda mutant, killed: told.update({mutant.name: killed}),
    )

    assert left == (BLUE,)
    assert told == {"any key": True, "blue": False}
    assert (tree / "operator" / "house" / "door.py").read_text() == DOOR


def test_a_mutant_that_never_ends_is_killed_by_the_limit(tree: Path) -> None:
    assert survivors({STUCK: COMMAND}, (COMMAND,), 1, tree=tree, limit=3.0) == ()


def test_an_oracle_that_cannot_judge_notices_nothing(tree: Path) -> None:
    cannot = (sys.executable, "-c", "raise SystemExit(4)")

    assert survivors({ANY_KEY: cannot}, (COMMAND,), 1, tree=tree) == (ANY_KEY,)


@pytest.mark.parametrize("old", ["return", "key is lock"], ids=["there twice", "not there"])
def test_a_mutant_whose_text_is_not_there_once_is_refused(tree: Path, old: str) -> None:
    lost = Mutant("lost", "operator/house/door.py", old, "pass", "the code has moved on")

    with pytest.raises(ValueError, match=r"lost: its old text is \d times in"):
        survivors({lost: COMMAND}, (COMMAND,), 1, tree=tree)


def test_a_command_that_fails_anyway_judges_no_mutant(tree: Path) -> None:
    (tree / "check.py").write_text("raise SystemExit(1)")

    with pytest.raises(ValueError, match="fails without any mutant"):
        survivors({BLUE: COMMAND}, (COMMAND,), 1, tree=tree)


def test_every_guard_is_where_its_list_says_and_so_is_what_notices_it() -> None:
    for guard in guards.listed():
        text = (ROOT / guard.mutant.file).read_text()

        assert text.count(guard.mutant.old) == 1, guard.mutant.name
        assert (ROOT / guard.tests.partition("::")[0]).exists(), guard.mutant.name


ORACLES = {guard.command[:-1]: set[str]() for guard in guards.listed()}
for each in guards.listed():
    ORACLES[each.command[:-1]].add(each.tests)


@pytest.mark.parametrize("command", ORACLES, ids=lambda command: " ".join(command[-2:]))
def test_pytest_understands_the_command_of_each_oracle(command: tuple[str, ...]) -> None:
    """A command that it refuses would not be known from one that notices nothing."""
    collected = [*command, *sorted(ORACLES[command]), "--collect-only"]

    assert subprocess.run(collected, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_what_is_nightly_has_to_pass_by_itself_while_every_guard_is_there() -> None:
    by_day = guards.Guard(ANY_KEY, "tests/faults/test_seeds.py")
    by_night = guards.Guard(BLUE, "tests/faults/test_people.py", nightly=True)

    commands = guards.sound((by_day, by_night))

    assert guards.NIGHTLY not in commands[0]
    assert commands[1:] == (by_night.command,)
    assert guards.NIGHTLY in by_night.command
