"""What may be wrong in a place of a program: for each node of its syntax tree, the small faults to try there.

Words that machines read (keys, kinds, names) are changed; sentences that people read are not, for no test
should hold their wording. Annotations, docstrings, decorators and imports do nothing that a test could see.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

Fault = ast.AST

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}

UNTOUCHED = frozenset({"annotation", "returns", "decorator_list"})
"""Fields of a node that are not entered."""


def faults(node: ast.AST) -> Iterator[Fault]:
    """The nodes to try in place of this one, always in the same order. Pass stands for nothing at all."""
    for kind, make in _OPERATORS:
        if isinstance(node, kind):
            yield from make(node)


def is_entered(node: ast.AST) -> bool:
    """Whether there is anything in this node, or below it, that a fault could be tried in."""
    return not (isinstance(node, ast.Import | ast.ImportFrom) or _is_prose(node))


def _is_prose(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Constant(value=str(text)):
            return " " in text
        case ast.JoinedStr(values=parts):
            return any(_is_prose(part) for part in parts if isinstance(part, ast.Constant))
    return False


def _comparison(node: ast.Compare) -> Iterator[Fault]:
    for index, operator in enumerate(node.ops):
        ops = [*node.ops[:index], _COMPARISONS[type(operator)](), *node.ops[index + 1 :]]
        yield ast.Compare(node.left, ops, node.comparators)


def _both(node: ast.BoolOp) -> Iterator[Fault]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for index in range(len(node.values)):
        left = node.values[:index] + node.values[index + 1 :]
        yield left[0] if len(left) == 1 else ast.BoolOp(node.op, left)


def _negation(node: ast.UnaryOp) -> Iterator[Fault]:
    if isinstance(node.op, ast.Not):
        yield node.operand


def _arithmetic(node: ast.BinOp) -> Iterator[Fault]:
    if type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)


def _step(node: ast.AugAssign) -> Iterator[Fault]:
    if type(node.op) in _ARITHMETIC:
        yield ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value)


def _constant(node: ast.Constant) -> Iterator[Fault]:
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value) | float(value):
            yield ast.Constant(value + 1)
        case str(value):
            yield ast.Constant(f"{value}~")


def _call(node: ast.Call) -> Iterator[Fault]:
    if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        yield ast.Call(ast.Name(_CALLS[node.func.id], ast.Load()), node.args, node.keywords)


def _slice(node: ast.Slice) -> Iterator[Fault]:
    if node.lower:
        yield ast.Slice(None, node.upper, node.step)
    if node.upper:
        yield ast.Slice(node.lower, None, node.step)


def _filter(node: ast.comprehension) -> Iterator[Fault]:
    for index in range(len(node.ifs)):
        ifs = node.ifs[:index] + node.ifs[index + 1 :]
        yield ast.comprehension(node.target, node.iter, ifs, node.is_async)


def _choice(node: Any) -> Iterator[Fault]:
    # The opposite of a comparison or of a negation is tried in that node itself.
    if not isinstance(node.test, ast.Compare | ast.UnaryOp):
        turned = ast.UnaryOp(ast.Not(), node.test)
        yield type(node)(test=turned, body=node.body, orelse=node.orelse)


def _guard(node: ast.If) -> Iterator[Fault]:
    if not node.orelse:
        yield ast.Pass()


def _result(node: ast.Return) -> Iterator[Fault]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))


def _statement(_: ast.AST) -> Iterator[Fault]:
    yield ast.Pass()


_OPERATORS: tuple[tuple[type[ast.AST] | tuple[type[ast.AST], ...], Callable[..., Iterator[Fault]]], ...] = (
    (ast.Compare, _comparison),
    (ast.BoolOp, _both),
    (ast.UnaryOp, _negation),
    (ast.BinOp, _arithmetic),
    (ast.AugAssign, _step),
    (ast.Constant, _constant),
    (ast.Call, _call),
    (ast.Slice, _slice),
    (ast.comprehension, _filter),
    ((ast.If, ast.While, ast.IfExp), _choice),
    (ast.If, _guard),
    (ast.Return, _result),
    ((ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break), _statement),
)
