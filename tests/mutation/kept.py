"""Kept mutants: faults that somebody thought of, each with a reason, held against any command as oracle.

A mutant is a text put in place of another. It is tried in a copy of the source tree, so the checkout stays
as it is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PACKAGES = ("operator", "runtime", ".")
"""Where Python finds the tree's modules."""

_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__")


@dataclass(frozen=True)
class Mutant:
    """One fault: in `file`, a path from the root of the tree, `new` stands in place of the only `old`.

    `why` says what rule the fault breaks.
    """

    name: str
    file: str
    old: str
    new: str
    why: str


Command = tuple[str, ...]

NOTICED = 1
"""How an oracle ends that found a fault, as pytest does. Any other failure says nothing of the mutant."""


def survivors(
    trials: Mapping[Mutant, Command],
    sound: Collection[Command],
    parallel: int,
    *,
    tree: Path = ROOT,
    limit: float = 600.0,
    tell: Callable[[Mutant, bool], None] = lambda mutant, killed: None,
) -> tuple[Mutant, ...]:
    """The mutants that their command, run at the root of the tree, does not notice. `tell` hears of each one.

    So many run at the same time; what takes longer than `limit` seconds is noticed. Raises ValueError where a
    mutant's old text is not there exactly once, or where one of the commands `sound`, which comprise all the
    others, fails without any mutant.
    """
    for mutant in trials:
        _changed(tree, mutant)

    def lives(mutant: Mutant) -> bool:
        alive = _status(tree, mutant, trials[mutant], limit) != NOTICED
        tell(mutant, not alive)
        return alive

    with ThreadPoolExecutor(parallel) as threads:
        without = {command: threads.submit(_status, tree, None, command, limit) for command in sound}
        alive = threads.map(lives, trials)
        left = tuple(mutant for mutant, lived in zip(trials, alive, strict=True) if lived)
    for command, ended in without.items():
        if ended.result():
            raise ValueError(f"fails without any mutant: {' '.join(command)}")
    return left


def _changed(tree: Path, mutant: Mutant) -> str:
    text = (tree / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its old text is {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def _status(tree: Path, mutant: Mutant | None, command: Command, limit: float) -> int:
    """The command's exit status on a copy of the tree."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(tree, copy, ignore=_LEFT_OUT)
        if mutant is not None:
            (copy / mutant.file).write_text(_changed(tree, mutant))
        return _ended(copy, command, limit)


def _ended(tree: Path, command: Command, limit: float) -> int:
    """The tree's packages come before installed ones. At the limit all that the command started ends."""
    path = os.pathsep.join(str(tree / each) for each in PACKAGES)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=tree, env=environment, stdout=silent, stderr=silent, start_new_session=True
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return NOTICED
