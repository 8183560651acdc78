"""The supervisor's side of the quarantine: looks who was with the engine when it died, and remembers it.

What it remembers outlives the container and goes with the pod: fingerprints, how often each engine died with
them, and the key to them. Not a word of a request.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sluicegate_engine import roster
from sluicegate_engine.fingerprint import Fingerprint, new_key
from sluicegate_engine.quarantine import Suspect, Suspects, after_death

_LOG = logging.getLogger("sluicegate_engine")
_NAMED = 8


class Record(NamedTuple):
    """What is remembered. `key` is made once for a pod."""

    key: str
    suspects: Suspects


def read_record(path: Path) -> Record:
    """The record, a new one where there is none. One that cannot be understood counts as none."""
    try:
        data = json.loads(path.read_bytes())
        key, listed = data["key"], data["suspects"].items()
        bytes.fromhex(key)
        return Record(key, {str(each): Suspect(int(n), float(seconds)) for each, (n, seconds) in listed})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        _LOG.warning("the record of suspect requests, %s, is of no use and begun anew: %s", path, error)
    return Record(new_key(), {})


def write_record(path: Path, record: Record) -> None:
    """Replace the record in one step. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(record._asdict(), stream)
    draft.replace(path)


class Inquest:
    """One engine's. `descriptor` is that of the roster's memory, for the gate to inherit.

    `clock` gives seconds that only grow.
    """

    def __init__(self, path: Path, max_concurrent: int, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._began: float | None = None
        self.record = read_record(path)
        size = roster.size_of(max_concurrent, len(self.record.suspects))
        self.descriptor = os.memfd_create("sluicegate-roster")
        os.truncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)

    def begin(self) -> None:
        """The engine is up."""
        self._began = self._clock()

    def hold(self, *, blame: bool) -> str:
        """The engine is dead. Returns what there is to say of those who were with it, "" where nobody was.

        Without `blame` its death had nothing to do with them.
        """
        seconds = 0 if self._began is None else self._clock() - self._began
        there, cleared = roster.read(self._memory)
        present = there if blame else frozenset[Fingerprint]()
        suspects = after_death(self.record.suspects, present, cleared, seconds)
        self._remember(suspects)
        if not present:
            return ""
        convicted = sorted(each for each in present if each in suspects and suspects[each].quarantined)
        if convicted:
            named = ", ".join(each[:_NAMED] for each in convicted)
            _LOG.error("quarantined, for the engine died with them again and again: %s", named)
        told = f"; {len(present)} requests were with it and are suspects"
        return told + (f", {len(convicted)} of them are quarantined" if convicted else "")

    def _remember(self, suspects: Suspects) -> None:
        if suspects == self.record.suspects:
            return
        try:
            write_record(self._path, Record(self.record.key, suspects))
        except OSError as error:
            _LOG.warning("the suspect requests cannot be remembered: %s", error)
