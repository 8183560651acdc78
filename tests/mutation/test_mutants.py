"""What is made of a module, and what the names are good for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutation.mutants import Mutant, mutants

FAULTS = {
    "a bound": ("def f(a): return a < 3", {"a < 3 -> a <= 3", "a < 3 -> a < 4"}),
    "an equality": ("def f(a, b): return a == b", {"a == b -> a != b"}),
    "an identity": ("def f(a): return a is None", {"a is None -> a is not None"}),
    "both of two": (
        "def f(a, b): return a and b",
        {"a and b -> a or b", "a and b -> a", "a and b -> b"},
    ),
    "a negation": ("def f(a): return not a", {"not a -> a"}),
    "a sum": ("def f(a, b): return a + b", {"a + b -> a - b"}),
    "a word": ("def f(a): return a['kind']", {"a['kind'] -> a['kind~']"}),
    "a key": ("def f(a): return {'kind': a}", {"{'kind': a} -> {'kind~': a}"}),
    "a sentence": ("def f(a): return a('stays as it is')", set()),
    "a sentence with a name": ("def f(a): return a(f'{a} stays as it is')", set()),
    "a word with a name": ("def f(a): return a(f'{a}/b')", {"'/b' -> '/b~'"}),
    "the least": ("def f(a): return min(a)", {"min(a) -> max(a)"}),
    "a slice": ("def f(a, b): return a[:b]", {"a[:b] -> a[:]"}),
    "a filter": (
        "def f(a): return [b for b in a if b]",
        {"[b for b in a if b] -> [b for b in a]"},
    ),
    "a choice": (
        "def f(a, b, c): return a if b else c",
        {"a if b else c -> a if not b else c"},
    ),
    "a guard": (
        "def f(a):\n    if a:\n        a.b()",
        {"if a: -> if not a:", "if a: -> pass", "a.b() -> pass"},
    ),
    "a default": ("def f(*, a=False): return a", {"*, a=False -> *, a=True"}),
    "an annotation": ("def f(a: 'b' = None): pass", set()),
    "an import": ("import a", set()),
}


def made(folder: Path, text: str) -> list[Mutant]:
    file = folder / "door.py"
    file.write_text(text)
    return mutants("house.door", file)


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_faults_are_tried_in(tmp_path: Path, text: str, expected: set[str]) -> None:
    found = {each.name.partition(": ")[2] for each in made(tmp_path, text)}

    assert {each for each in found if not each.startswith("return ")} == expected


def test_a_result_is_forgotten(tmp_path: Path) -> None:
    (fault,) = made(tmp_path, "def f(a): return a.b")

    assert fault.name == "door.f: return a.b -> return None"


def test_a_mutant_is_the_module_with_that_fault(tmp_path: Path) -> None:
    found = {each.name: each for each in made(tmp_path, "def f(a):\n    return a < 3")}
    names: dict[str, object] = {}

    exec(found["door.f: a < 3 -> a <= 3"].code(), names)

    assert names["f"](3)  # type: ignore[operator]


SCOPES = """
LIMIT = 3

def f(a=1):
    def g(): return a < 2
    return g

class C:
    d: int = 4
    @property
    def e(self): return self.d < 5
"""


def test_a_fault_belongs_to_the_outermost_function_or_to_the_import(tmp_path: Path) -> None:
    scopes = {each.name: each.scope for each in made(tmp_path, SCOPES)}

    assert scopes["door.LIMIT: LIMIT = 3 -> LIMIT = 4"] == ""
    assert scopes["door.f: a=1 -> a=2"] == ""
    assert scopes["door.d: d: int = 4 -> d: int = 5"] == ""
    assert scopes["door.f: a < 2 -> a <= 2"] == "f"
    assert scopes["door.C.e: self.d < 5 -> self.d <= 5"] == "C.e"


def test_names_stay_when_lines_move_and_no_two_are_alike(tmp_path: Path) -> None:
    twice = "def f(a):\n    a.b(1)\n    a.b(1)\n"

    names = [each.name for each in made(tmp_path, twice)]

    assert len(set(names)) == len(names)
    assert [each.name for each in made(tmp_path, f"# a door\n\n{twice}")] == names


def test_the_lines_of_a_compound_statement_are_those_of_its_head(tmp_path: Path) -> None:
    text = "def f(a):\n    if (\n        a\n    ):\n        return 1\n"

    lines = {each.name: each.lines for each in made(tmp_path, text)}

    assert lines["door.f: if a: -> pass"] == range(2, 5)
    assert lines["door.f: 1 -> 2"] == range(5, 6)
