"""Who is with the engine, in memory that the gate shares with the supervisor.

It outlives the gate, whose process may be the one that dies, and is true to the last instruction of it: a
message might still be on its way, and a file's disk may stand still, where the engine may not.
"""

from __future__ import annotations

import mmap
from collections import deque
from typing import NamedTuple

from sluicegate_engine.fingerprint import LENGTH, Fingerprint

_EMPTY, _PRESENT, _CLEARED = b"\0", b"P", b"C"
_ROW = 1 + LENGTH
_UNANSWERED = 64
"""So many at least are remembered of those that have left without an answer."""


class Attendance(NamedTuple):
    """What a roster says: who was with the engine, and which suspects it has answered."""

    present: frozenset[Fingerprint]
    cleared: frozenset[Fingerprint]


def size_of(requests: int, suspects: int) -> int:
    """Bytes for so many requests at a time, and so many suspects to clear."""
    return _ROW * (requests + _UNANSWERED + suspects)


def read(memory: mmap.mmap) -> Attendance:
    """Read what the gate has written, whether it lives or not."""
    rows = [memory[at : at + _ROW] for at in range(0, len(memory), _ROW)]
    return Attendance(_marked(rows, _PRESENT), _marked(rows, _CLEARED))


def _marked(rows: list[bytes], mark: bytes) -> frozenset[Fingerprint]:
    return frozenset(row[1:].decode() for row in rows if row[:1] == mark)


class Stay(NamedTuple):
    """A request's row, and how many had come when it had."""

    row: int
    number: int


class Roster:
    """The gate's end. `memory` is zeroed and as large as `size_of` says.

    Who leaves without an answer stays listed: vLLM tells its clients before a dying engine is dead, and
    clients may not wait for the end of a stuck one. Only when the engine has answered somebody who came after
    that, it has outlived it.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._free = list(range(len(memory) // _ROW))
        self._unanswered: deque[Stay] = deque()
        self._came = 0

    def enter(self, request: Fingerprint) -> Stay:
        """List a request that is about to be with the engine. `leave` must follow."""
        self._came += 1
        stay = Stay(self._take_row(), self._came)
        self._write(stay.row, _PRESENT, request)
        return stay

    def leave(self, stay: Stay, *, answered: bool) -> None:
        if not answered:
            self._unanswered.append(Stay(stay.row, self._came))
            return
        self._wipe(stay.row)
        while self._unanswered and self._unanswered[0].number < stay.number:
            self._wipe(self._unanswered.popleft().row)

    def clear(self, request: Fingerprint) -> None:
        """List a suspect as cleared, for good."""
        self._write(self._take_row(), _CLEARED, request)

    def _take_row(self) -> int:
        return self._free.pop() if self._free else self._unanswered.popleft().row

    def _wipe(self, row: int) -> None:
        self._write(row, _EMPTY, "0" * LENGTH)
        self._free.append(row)

    def _write(self, row: int, mark: bytes, request: Fingerprint) -> None:
        self._memory[row * _ROW : (row + 1) * _ROW] = mark + request.encode()
