"""Mutants: programs with one small fault each, made from a module's syntax tree.

A mutant is named by its function and by what its code says before and after, so its name outlives changes
elsewhere in the file.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from tests.mutation.operators import UNTOUCHED, Fault, faults, is_entered

_LONGEST = 100
_TELLING = (ast.expr, ast.keyword, ast.arguments, ast.Assign, ast.AnnAssign, ast.AugAssign)

Step = tuple[str, int | None]
"""From a node to one of its children: the field, and the index where the field is a list."""


@dataclass(frozen=True)
class Mutant:
    """One fault in one place.

    `scope` is the qualified name of the outermost function around it, or "" where the fault takes effect
    when the module is imported. `lines` are those of the statement that it is in.
    """

    module: str
    file: Path
    scope: str
    name: str
    lines: range
    place: tuple[Step, ...]
    choice: int

    def code(self) -> CodeType:
        """The faulty module, compiled; where the fault is in a function, only the statement around that."""
        tree = ast.parse(self.file.read_text())
        parent: ast.AST = tree
        for step in self.place[:-1]:
            parent = _child(parent, step)
        _put(parent, self.place[-1], list(faults(_child(parent, self.place[-1])))[self.choice])
        if self.scope:
            tree.body = [_child(tree, self.place[0])]  # type: ignore[list-item]
        ast.fix_missing_locations(tree)
        return compile(tree, str(self.file), "exec", annotations.compiler_flag, dont_inherit=True)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Place:
    """A node on the way through a tree, with what is around it."""

    node: ast.AST
    parent: ast.AST
    steps: tuple[Step, ...]
    scope: str
    statement: ast.stmt


def mutants(module: str, file: Path) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    times: Counter[str] = Counter()
    found = []
    for place in _places(ast.parse(file.read_text())):
        for choice, fault in enumerate(faults(place.node)):
            name = f"{module.rpartition('.')[2]}.{_owner(place)}: {_difference(place, fault)}"
            times[name] += 1
            if times[name] > 1:
                name = f"{name} #{times[name]}"
            lines = _header(place.statement)
            found.append(Mutant(module, file, place.scope, name, lines, place.steps, choice))
    return found


def _places(tree: ast.Module) -> Iterator[_Place]:
    for index, statement in enumerate(tree.body):
        yield from _below(_Place(statement, tree, (("body", index),), "", statement), "")


def _below(place: _Place, around: str) -> Iterator[_Place]:
    """The place and all places in it. `around` is the class that it is in."""
    if not is_entered(place.node):
        return
    yield place
    for step, child in _children(place.node):
        scope, inside = place.scope, around
        if isinstance(place.node, ast.ClassDef):
            inside = f"{around}{place.node.name}."
        elif isinstance(place.node, ast.FunctionDef) and not scope and step[0] == "body":
            scope = f"{around}{place.node.name}"
        statement = child if isinstance(child, ast.stmt) else place.statement
        yield from _below(_Place(child, place.node, (*place.steps, step), scope, statement), inside)


def _children(node: ast.AST) -> Iterator[tuple[Step, ast.AST]]:
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED:
            continue
        for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(item, ast.AST):
                yield (field, index), item


def _child(node: ast.AST, step: Step) -> ast.AST:
    field, index = step
    value = getattr(node, field)
    child: ast.AST = value if index is None else value[index]
    return child


def _put(parent: ast.AST, step: Step, node: ast.AST) -> None:
    field, index = step
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _owner(place: _Place) -> str:
    """What the place belongs to: a function, or what is given a name when the module is imported."""
    match place.statement:
        case _ if place.scope:
            return place.scope
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def _header(statement: ast.stmt) -> range:
    """The lines of a statement without the statements inside it."""
    inside = getattr(statement, "body", None)
    last = inside[0].lineno - 1 if inside else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(last, statement.lineno) + 1)


def _difference(place: _Place, fault: Fault) -> str:
    """What the code says before and after, with as much around it as tells one place from another."""
    for before, after in (_in_context(place, fault), (place.node, fault)):
        old, new = _text(before), _text(after)
        if len(old) <= _LONGEST:
            break
    return f"{old[:_LONGEST]} -> {new[:_LONGEST]}"


def _in_context(place: _Place, fault: Fault) -> tuple[ast.AST, ast.AST]:
    parent, (field, index) = place.parent, place.steps[-1]
    if isinstance(parent, ast.Dict) and index is not None:
        pair = (parent.keys[index], parent.values[index])
        other = (fault, pair[1]) if field == "keys" else (pair[0], fault)
        return ast.Dict([pair[0]], [pair[1]]), ast.Dict([other[0]], [other[1]])  # type: ignore[list-item]
    if isinstance(parent, _TELLING) and not isinstance(parent, ast.JoinedStr):
        changed = type(parent)(**dict(ast.iter_fields(parent)))
        if index is not None:
            setattr(changed, field, list(getattr(parent, field)))
        _put(changed, place.steps[-1], fault)
        return parent, changed
    return place.node, fault


def _text(node: ast.AST) -> str:
    """The code on one line; of a compound statement its head."""
    return ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]
