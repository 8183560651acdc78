"""What every source can do: list its files and hand one over, hashed on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.manifest import is_plain_path
from sluicegate_store.progress import Progress

if TYPE_CHECKING:
    from sluicegate_store.folder import Folder

CHUNK = 4 << 20


@dataclass(frozen=True, order=True)
class SourceFile:
    """A regular file at the top level of a source: its name, its size in bytes and, where the source tells
    before a byte is read, its SHA-256."""

    name: str
    size: int
    sha256: str | None = field(default=None, compare=False)


class Source(Protocol):
    """Model files at an origin. Only top-level files count: no server reads what lies in sub-folders."""

    @property
    def folder(self) -> Folder | None:
        """Where the files can be read in place; None where they must be fetched first."""

    def files(self) -> tuple[SourceFile, ...]:
        """All top-level files, sorted by name. Raises StoreError (Source…, UnsafePath)."""

    def fetch(self, file: SourceFile, target: Path, progress: Progress) -> str:
        """Write the file to `target` and return its SHA-256. Raises StoreError."""


def require_file_names(names: Iterable[str]) -> None:
    """Raise UnsafePath unless each is the plain, printable name of a file in the source's own folder."""
    for name in names:
        if "/" in name or not is_plain_path(name):
            raise StoreError(
                Reason.UNSAFE_PATH,
                f"{shorten(name)!r} is no plain file name; rename the file or remove it from the source",
            )


def chunks(stream: FileIO) -> Iterator[memoryview]:
    """The rest of a stream in pieces of one reused buffer: each is valid until the next is asked for."""
    buffer = memoryview(bytearray(CHUNK))
    while count := stream.readinto(buffer):
        yield buffer[:count]
