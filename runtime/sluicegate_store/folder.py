"""A folder that nothing read from it can leave: not by `..`, not by a link, not by a swap after the check."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.source import SourceFile, require_file_names


@dataclass(frozen=True)
class Folder:
    """Top-level regular files under `root` (an absolute path without links); with `only`, that one file."""

    root: Path
    only: str | None = None

    def files(self) -> tuple[SourceFile, ...]:
        """Names and sizes, sorted. UnsafePath where any entry is a special file or a link that leaves."""
        with os.scandir(self.root) as entries:
            names = sorted(entry.name for entry in entries if self.only in (None, entry.name))
        require_file_names(names)
        return tuple(file for name in names if (file := self._look(name)))

    def _look(self, name: str) -> SourceFile | None:
        path = self.root / name
        if path.is_symlink() and not self._holds(os.path.realpath(path)):
            raise _leaves(name)
        with _file_errors(name):
            found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return None
        if not stat.S_ISREG(found.st_mode):
            raise _special(name)
        return SourceFile(name, found.st_size)

    @contextmanager
    def open(self, name: str) -> Iterator[FileIO]:
        """A file for reading. What was opened is checked, not what the name meant a moment earlier."""
        # O_NONBLOCK: opening a FIFO must not wait for a writer
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        with _file_errors(name):
            descriptor = os.open(self.root / name, flags)
        with FileIO(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _special(name)
            if not self._holds(os.readlink(f"/proc/self/fd/{descriptor}")):
                raise _leaves(name)
            yield stream

    def _holds(self, real: str) -> bool:
        return real.startswith(f"{self.root}/") if self.root != Path("/") else True


@contextmanager
def _file_errors(name: str) -> Iterator[None]:
    """Turn what the operating system says about one file into a StoreError."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(
            Reason.CHECKPOINT_INCOMPLETE,
            f"{shorten(name)} is not there, or a link to a file that does not exist; complete the source",
        ) from error
    except PermissionError as error:
        raise StoreError(
            Reason.SOURCE_FORBIDDEN,
            f"{shorten(name)} may not be read by uid {os.getuid()}; make the files world-readable",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(
                Reason.UNSAFE_PATH, f"{shorten(name)} is a link in a circle; put the file itself there"
            ) from error
        raise


def _leaves(name: str) -> StoreError:
    return StoreError(
        Reason.UNSAFE_PATH, f"{shorten(name)} is a link that leaves the source; put the file itself there"
    )


def _special(name: str) -> StoreError:
    return StoreError(
        Reason.UNSAFE_PATH, f"{shorten(name)} is neither a file nor a folder; remove it from the source"
    )
