"""In which tests a mutant makes a difference: its function gives another result for the same arguments.

Core is made of pure functions. So while the tests run on the code as it is, each call of a function is put to
its mutants too, and what they answer is compared. A test in which a mutant always answers the same cannot
notice it, and is not run on it; a mutant that answers the same in all tests survives without a trial.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from importlib import import_module
from inspect import isgeneratorfunction, unwrap
from itertools import chain, groupby
from types import CodeType, FunctionType
from typing import Any

from tests.mutation.mutants import Mutant

# After so many calls in one test a mutant is taken to make a difference there: asking costs more than trying.
_ENOUGH = 100

# A mutant that answers after so many seconds of processor time runs in circles.
_PATIENCE = 1.0

_WATCHED = "__watched__"


class Differences:
    """Watches the functions of these mutants from now on, for as long as this process lives.

    `told` are the tests in which a mutant, by its name, makes a difference; `users` those that call any
    function of a module. Mutants of modules that are not chosen are not asked.
    """

    def __init__(self, mutants: Sequence[Mutant], modules: Collection[str]) -> None:
        self.told: dict[str, set[str]] = defaultdict(set)
        self.users: dict[str, set[str]] = defaultdict(set)
        self.test = ""
        self.asked: tuple[_Watched, Callable[..., Any]] | None = None
        self.undo: list[Callable[[], object]] = []
        self.caches = {module: list(_caches(module)) for module in {each.module for each in mutants}}
        signal.signal(signal.SIGVTALRM, _in_circles)
        live = (mutant for mutant in mutants if mutant.scope)
        for _, group in groupby(live, lambda mutant: (mutant.module, mutant.scope)):
            self._watch(list(group), modules)

    def begin(self, test: str) -> None:
        """What a test calls counts as its own, also what an earlier one had cached."""
        self.test = test
        _call(chain.from_iterable(self.caches.values()))

    def _watch(self, mutants: list[Mutant], modules: Collection[str]) -> None:
        found = attribute(mutants[0])
        function = function_of(found)
        watched = _Watched(self, found, mutants if mutants[0].module in modules else [])
        if not watched.mutants and _forgetting(found) is None:
            return
        # In place, for others have imported it by name.
        function.__globals__.setdefault(_WATCHED, {})[mutants[0].scope] = watched
        function.__code__ = _passing_on(mutants[0].scope)


class _Watched:
    """A function that answers as ever, while its mutants are asked the same."""

    def __init__(self, all: Differences, found: Any, mutants: list[Mutant]) -> None:
        function = function_of(found)
        self.all = all
        self.module = function.__module__
        self.original = _copy(function, function.__code__)
        self.mutants = {each.name: _copy(function, faulty(each)) for each in mutants}
        self.lazy = isgeneratorfunction(function)
        self.forget = _forgetting(found)
        self.test = ""
        self.left: dict[str, FunctionType] = {}
        self.calls = 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self.all.asked:
            # What is cached for a mutant's sake would hide the call that comes later.
            if self.forget:
                self.all.undo.append(partial(self.forget, *args))
            watched, mutant = self.all.asked
            return (mutant if watched is self else self.original)(*args, **named)
        self._begin()
        if not self.left:
            return self.original(*args, **named)
        if self.calls > _ENOUGH or any(isinstance(each, Iterator) for each in (*args, *named.values())):
            self._tell(*self.left)
            return self.original(*args, **named)
        return self._asking(args, named)

    def _begin(self) -> None:
        if self.test != self.all.test:
            self.test, self.left, self.calls = self.all.test, dict(self.mutants), 0
            self.all.users[self.module].add(self.test)
        self.calls += 1

    def _tell(self, *names: str) -> None:
        for name in names:
            self.all.told[name].add(self.test)
            self.left.pop(name, None)

    def _asking(self, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        try:
            result = self._answer(self.original, args, named)
        except BaseException:
            self._tell(*self.left)
            raise
        self._tell(*[name for name, each in self.left.items() if self._differs(each, args, named, result)])
        return iter(result) if self.lazy else result

    def _answer(self, function: FunctionType, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        result = function(*args, **named)
        return list(result) if self.lazy else result

    def _differs(
        self, mutant: FunctionType, args: tuple[Any, ...], named: dict[str, Any], result: Any
    ) -> bool:
        # What a function keeps in a cache of its module would answer in the mutant's place.
        _call(self.all.caches[self.module])
        self.all.asked = self, mutant
        signal.setitimer(signal.ITIMER_VIRTUAL, _PATIENCE)
        try:
            other = self._answer(mutant, args, named)
            return type(other) is not type(result) or bool(other != result) or _order(other) != _order(result)
        except Exception:
            return True
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self.all.asked = None
            _call(self.all.undo)
            self.all.undo.clear()


def _caches(module: str) -> Iterator[Callable[[], object]]:
    """What empties the caches of a module's functions."""
    found = vars(import_module(module)).values()
    return (each.cache_clear for each in found if hasattr(each, "cache_clear") and each.__module__ == module)


def _call(tasks: Iterable[Callable[[], object]]) -> None:
    for task in tasks:
        task()


def _forgetting(found: Any) -> Callable[..., object] | None:
    """Takes out of a cache what it holds for such arguments; None where nothing is cached."""
    if isinstance(found, cached_property):
        return lambda owner: vars(owner).pop(found.attrname, None)
    return (lambda *_: found.cache_clear()) if hasattr(found, "cache_clear") else None


def _order(result: Any) -> list[Any]:
    """Of a mapping, its keys: equality passes over their order."""
    return list(result) if isinstance(result, dict) else []


def _in_circles(*_: object) -> None:
    raise TimeoutError("a mutant runs in circles")


def _copy(function: FunctionType, code: CodeType) -> FunctionType:
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _passing_on(scope: str) -> CodeType:
    names: dict[str, Any] = {}
    exec(f"def call(*args, **named): return {_WATCHED}[{scope!r}](*args, **named)", names)
    code: CodeType = names["call"].__code__
    return code


def attribute(mutant: Mutant) -> Any:
    """What has the name of the mutant's scope: a function, or what a decorator made of one."""
    found: Any = import_module(mutant.module)
    for part in mutant.scope.split("."):
        found = vars(found)[part]
    return found


def function_of(found: Any) -> FunctionType:
    """The function in a property or under other decorators."""
    if isinstance(found, property):
        found = found.fget
    function: FunctionType = found.func if isinstance(found, cached_property) else unwrap(found)
    return function


def faulty(mutant: Mutant) -> CodeType:
    """The code of the mutant's function."""
    return _code_of(mutant.code(), mutant.scope)


def _code_of(code: CodeType, scope: str) -> CodeType:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_qualname == scope:
                return each
            if scope.startswith(f"{each.co_qualname}."):
                return _code_of(each, scope)
    raise LookupError(f"{scope} has no code of its own")
