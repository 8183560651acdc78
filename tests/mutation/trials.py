"""Trials: the tests are run against one mutant after another, each in a fork that dies with its mutant.

On each mutant only those tests are run in which it makes a difference (`differences.py`).

Why not a library: mutmut 3 leaves out decorated functions (each property of core is one), tables and default
values, and finds no test for a package that is not at the checkout's root; cosmic-ray starts pytest anew for
each mutant, which for core's 5,200 would take hours. Here everything is imported and collected once. A fault
inside a function is put into the live function; one that takes effect at import is put in its way.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate, chain, groupby
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from tests.mutation.differences import Differences, attribute, faulty, function_of
from tests.mutation.mutants import Mutant

# A test that takes so much longer than usual, in seconds of processor time, runs in circles.
_PATIENCE, _TIMES_SLOWER = 1.0, 4

# For so many seconds of processor time tests are tried on a mutant that takes effect at import: what only the
# rest would notice counts as unnoticed.
_BUDGET = 30.0

# Of so many tests the files are collected first.
_FEW = 3

# Kills a mutant before any test does.
_IMPORT = "the import"

_QUIET = ("-q", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Measured:
    """The tests on the code as it is: how long each takes, in seconds of processor time, and what it tells.

    `told` are the tests in which a mutant, by its name, makes a difference; `users` those that use a module.
    """

    seconds: dict[str, float]
    told: dict[str, set[str]]
    users: dict[str, set[str]]
    failed: tuple[str, ...]

    def able(self, mutant: Mutant) -> Collection[str]:
        """The tests that can tell this mutant; what takes effect at import, all that use the module."""
        return self.told.get(mutant.name, ()) if mutant.scope else self.users.get(mutant.module, ())

    def order(self, mutant: Mutant, kills: Mapping[str, int], first: Sequence[str] = ()) -> list[str]:
        """The tests that can tell this mutant; of one that takes effect at import, as far as the budget goes.

        After those that are to be `first` come those that killed most others, then the quick ones.
        """
        places = {test: place for place, test in enumerate(first)}

        def rank(test: str) -> tuple[int, int, float, str]:
            return places.get(test, len(places)), -kills.get(test, 0), self.seconds[test], test

        ordered = sorted(self.able(mutant), key=rank)
        if mutant.scope:
            return ordered
        spent = accumulate(self.seconds[test] for test in ordered)
        return [test for test, before in zip(ordered, chain((0.0,), spent), strict=False) if before < _BUDGET]


@dataclass(frozen=True)
class Verdict:
    """`killer` is the test that failed or ran in circles, or "" where the mutant survived.

    So many tests are `able` to tell it, as far as its function's results go.
    """

    mutant: Mutant
    killer: str
    able: int

    @property
    def killed(self) -> bool:
        return bool(self.killer)


def forked(task: Callable[[Callable[[Any], None]], None]) -> Iterator[Any]:
    """Runs the task in a fork from now on, and gives what it sends, as it comes. A dead one sends no more."""
    receiver, sender = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        receiver.close()
        try:
            task(sender.send)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    sender.close()
    return _received(receiver, child)


def _received(receiver: Connection, child: int) -> Iterator[Any]:
    try:
        with suppress(EOFError):
            while True:
                yield receiver.recv()
    finally:
        receiver.close()
        os.waitpid(child, 0)


def measure(
    tests: Sequence[str], mutants: Sequence[Mutant], modules: Collection[str], workers: int
) -> Measured:
    """What the tests can tell of the mutants in these modules. `mutants` are those of the whole package.

    Raises RuntimeError where the tests cannot be collected.
    """

    def run(send: Callable[[Measured], None], items: dict[str, pytest.Item]) -> None:
        shares = [dict(list(items.items())[turn::workers]) for turn in range(workers)]
        parts = [forked(partial(_measured, share, mutants, modules)) for share in shares]
        for (part,) in parts:
            send(part)

    parts = list(forked(lambda send: _session(tests, lambda items: run(send, items))))
    if len(parts) < workers:
        raise RuntimeError("the tests cannot be collected, or end this process: run them by pytest alone")
    return _together(parts)


def _measured(
    items: dict[str, pytest.Item],
    mutants: Sequence[Mutant],
    modules: Collection[str],
    send: Callable[[Measured], None],
) -> None:
    """First how long the tests take, then what they tell."""
    seconds, failed = {}, []
    for test, item in items.items():
        began = time.process_time()
        if not _passes(item):
            failed.append(test)
        seconds[test] = time.process_time() - began
    differences = Differences(mutants, modules)
    for test, item in items.items():
        differences.begin(test)
        if not _passes(item):
            failed.append(f"{test}, where mutants are asked too")
    send(Measured(seconds, differences.told, differences.users, tuple(failed)))


def _together(parts: Iterable[Measured]) -> Measured:
    seconds: dict[str, float] = {}
    failed: list[str] = []
    told: dict[str, set[str]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        seconds.update(part.seconds)
        failed += part.failed
        for whole, some in ((told, part.told), (users, part.users)):
            for key, tests in some.items():
                whole[key] |= tests
    return Measured(seconds, told, users, tuple(failed))


def trials(
    mutants: Sequence[Mutant], tests: Sequence[str], known: Measured, workers: int
) -> Iterator[Verdict]:
    """A verdict on each mutant, as they come."""
    at_import = [mutant for mutant in mutants if not mutant.scope]
    live = [mutant for mutant in mutants if mutant.scope]
    kills: dict[str, Counter[str]] = defaultdict(Counter)

    def at_import_tried(send: Callable[[Verdict], None]) -> None:
        _shared_out(at_import, lambda mutant: _at_import(mutant, tests, known, kills), workers, send)

    def live_tried(send: Callable[[Verdict], None]) -> None:
        def run(items: dict[str, pytest.Item]) -> None:
            _shared_out(live, _Live(items, known), workers, send)

        _session(tests, run)

    for verdict in forked(live_tried):
        if verdict.killed:
            kills[verdict.mutant.module][verdict.killer] += 1
        yield verdict
    # Each of these collects tests anew.
    yield from forked(at_import_tried)


def _shared_out(
    mutants: Sequence[Mutant],
    attempt: Callable[[Mutant], Verdict],
    workers: int,
    send: Callable[[Verdict], None],
) -> None:
    """The mutants of one function go to one worker, which learns there what kills them.

    A worker ends with this process, however it ends.
    """
    groups = [list(group) for _, group in groupby(mutants, _place)]
    fork = get_context("fork")
    left, results = fork.SimpleQueue(), fork.SimpleQueue()
    for turn in (*range(len(groups)), *(None for _ in range(workers))):
        left.put(turn)

    here = os.getpid()

    def work() -> None:
        while (turn := left.get()) is not None:
            for mutant in groups[turn]:
                if os.getppid() != here:
                    return
                results.put(attempt(mutant))

    for _ in range(workers):
        fork.Process(target=work, daemon=True).start()
    for _ in mutants:
        send(results.get())


def _place(mutant: Mutant) -> tuple[str, str]:
    """Its function; what takes effect at import is by itself."""
    return mutant.module, mutant.scope or mutant.name


def _session(tests: Sequence[str], run: Callable[[dict[str, pytest.Item]], None]) -> None:
    """Collects the tests in this process and hands them over. Where they cannot be, it does nothing."""

    class Taken:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            if not session.testsfailed:
                run({item.nodeid: item for item in session.items})
            return True

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        pytest.main([*_QUIET, *tests], plugins=[Taken()])


def _passes(item: pytest.Item) -> bool:
    return all(report.passed for report in runtestprotocol(item, log=False, nextitem=None))


def _attempt(
    items: dict[str, pytest.Item], order: Sequence[str], known: Measured, send: Callable[[str], None]
) -> None:
    """Tells each test before it runs, and "" after the last: what was told last is what ended the attempt."""
    for test in order:
        send(test)
        # Its own time, not the clock's: a busy machine must kill no mutant.
        signal.setitimer(signal.ITIMER_VIRTUAL, _PATIENCE + _TIMES_SLOWER * known.seconds[test])
        if not _passes(items[test]):
            return
    send("")


def _at_import(
    mutant: Mutant, tests: Sequence[str], known: Measured, kills: Mapping[str, Counter[str]]
) -> Verdict:
    """The module is imported faulty, by tests that are collected anew: at first only the files of a few.

    `kills` are those of each module, by test. There is a budget, so first come the tests in files that import
    this one themselves, and what killed most in it.
    """
    of_all = sum(kills.values(), Counter[str]())
    of_module = kills.get(mutant.module, Counter[str]())
    near = {test for test in known.able(mutant) if imports(_file(test), mutant.module)}
    first = sorted(near | of_module.keys(), key=lambda test: (test not in near, -of_module[test], test))
    order = known.order(mutant, of_all, first)
    files = {_file(test) for test in order[:_FEW]}
    few = [test for test in order if _file(test) in files]
    for part in (few, [test for test in order if test not in few]):
        killer = _faulty_import(mutant, tests, part, known)
        if killer or len(few) == len(order):
            break
    return Verdict(mutant, killer, len(known.able(mutant)))


def _faulty_import(mutant: Mutant, tests: Sequence[str], order: Sequence[str], known: Measured) -> str:
    files = sorted({_file(test) for test in order})
    options = [each for each in tests if each.startswith("-")]

    def run(send: Callable[[str], None]) -> None:
        sys.meta_path.insert(0, _Faulty(mutant))
        chosen = [*files, *options] if files else tests
        _session(chosen, lambda items: _attempt(items, order, known, send))

    return str([_IMPORT, *forked(run)][-1])


def _file(test: str) -> str:
    return test.partition("::")[0]


@cache
def imports(file: str, module: str) -> bool:
    """Whether a file imports a module, or something from it, by a line of its own."""
    package, _, name = map(re.escape, module.rpartition("."))
    line = rf"^(from {package}\.{name} import |from {package} import .*\b{name}\b)"
    return re.search(line, Path(file).read_text(), re.MULTILINE) is not None


class _Live:
    """Tries mutants on collected tests, in a live function; what killed the last ones there comes first."""

    def __init__(self, items: dict[str, pytest.Item], known: Measured) -> None:
        self.items = items
        self.known = known
        self.killers: dict[str, list[str]] = defaultdict(list)
        self.kills: Counter[str] = Counter()

    def __call__(self, mutant: Mutant) -> Verdict:
        killers = self.killers[mutant.scope]
        order = self.known.order(mutant, self.kills, killers)
        if not order:
            return Verdict(mutant, "", 0)

        def run(send: Callable[[str], None]) -> None:
            function_of(attribute(mutant)).__code__ = faulty(mutant)
            _attempt(self.items, order, self.known, send)

        killer = [_IMPORT, *forked(run)][-1]
        if killer:
            killers[:] = [killer, *(test for test in killers if test != killer)]
            self.kills[killer] += 1
        return Verdict(mutant, killer, len(self.known.able(mutant)))


class _Faulty(SourceFileLoader):
    """Finds and loads the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.file))
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.mutant.module:
            return None
        return spec_from_file_location(name, self.mutant.file, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return self.mutant.code()
