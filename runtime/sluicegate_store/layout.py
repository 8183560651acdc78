"""The content-addressed store on one volume: readers see a whole model or none, whatever is killed when.

    blobs/sha256/ab/abcd…      file contents, 0444, named by their SHA-256
    manifests/sha256/….json    canonical manifests, named by theirs
    snapshots/<digest>/        hard links to blobs under the files' real names
    incoming/<uuid>/           work in progress; everything unfinished is in here and nowhere else

One process writes to a volume (several tasks of it may at once); any number read.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sluicegate_store.checkpoint import hash_file
from sluicegate_store.errors import StoreError
from sluicegate_store.folder import Folder
from sluicegate_store.manifest import FileEntry, Manifest
from sluicegate_store.progress import Progress
from sluicegate_store.source import SourceFile


class Store:
    """The layout under one root, created where missing."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._blobs = self._root / "blobs" / "sha256"
        self._manifests = self._root / "manifests" / "sha256"
        self._snapshots = self._root / "snapshots"
        self._incoming = self._root / "incoming"
        for folder in (self._blobs, self._manifests, self._snapshots, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The volume's folder."""
        return self._root

    def snapshot(self, digest: str) -> Path | None:
        """The folder of a published model, or None."""
        path = self._snapshots / _hex(digest)
        return path if path.is_dir() else None

    def manifest(self, digest: str) -> Manifest | None:
        """The manifest of a published model, or None where it is missing or not what its name says."""
        try:
            manifest = Manifest.parse((self._manifests / f"{_hex(digest)}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return manifest if manifest.digest == digest else None

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A new folder for work in progress, removed at the end."""
        work = self._incoming / uuid.uuid4().hex
        work.mkdir()
        try:
            yield work
        finally:
            _remove(work)

    def clean_incoming(self) -> None:
        """Remove what killed writers left. Only for the volume's one writer, before it begins."""
        for left in self._incoming.iterdir():
            _remove(left)

    def verified(self, digest: str, progress: Progress) -> Path | None:
        """The snapshot if every byte of it is still what the digest says; a damaged one is taken away."""
        path, manifest = self.snapshot(digest), self.manifest(digest)
        if path is None:
            return None
        if manifest is not None:
            progress.begin("Verifying", manifest.total_bytes)
            if all(_intact(path, entry, progress) for entry in manifest.files):
                return path
        self._discard(path)
        return None

    def keep(self, file: Path, entry: FileEntry) -> None:
        """Hold a verified file for the next try, should this one not come to its end."""
        self._adopt(file, entry)

    def take(self, file: SourceFile, target: Path, progress: Progress) -> FileEntry | None:
        """Link what an earlier try kept of this content to `target`; None where that is nothing sound."""
        if file.sha256 is None or not (blob := self._blob(file.sha256)).exists():
            return None
        progress.begin("Verifying", file.size)
        if not _intact(blob.parent, FileEntry(blob.name, file.size, file.sha256), progress):
            return None
        os.link(blob, target)
        return FileEntry(file.name, file.size, file.sha256)

    def retain(self, digests: Iterable[str]) -> None:
        """Remove all models but these, with what only they held. Only while nothing is being fetched."""
        wanted = {_hex(digest) for digest in digests}
        for snapshot in self._snapshots.iterdir():
            if snapshot.name not in wanted:
                self._discard(snapshot)
        self.drop_unused()

    def drop_unused(self) -> None:
        """Remove the contents that no snapshot holds. Only while nothing is being fetched."""
        for blob in self._blobs.glob("*/*"):
            if blob.stat().st_nlink == 1:
                blob.unlink()

    def publish(self, work: Path, files: Path, manifest: Manifest) -> Path:
        """Make `files`, whose hashes the caller has just taken, readable as a snapshot; return its folder.

        `files` lies in `work`, a folder of `incoming()`. Publishing what is already there changes nothing.
        """
        target = self._snapshots / _hex(manifest.digest)
        assembled = work / "snapshot"
        assembled.mkdir()
        for entry in manifest.files:
            blob = self._adopt(files / entry.path, entry)
            os.link(blob, assembled / entry.path)
        _sync(assembled)
        self._write_manifest(work, manifest)
        if not target.exists():
            try:
                assembled.rename(target)
            except OSError:
                # another task of this writer was faster; anything else is an error
                if not target.is_dir():
                    raise
        target.chmod(0o555)
        _sync(self._snapshots)
        return target

    def _adopt(self, file: Path, entry: FileEntry) -> Path:
        """The blob of this content: the one already held if it is sound, else this file."""
        blob = self._blob(entry.sha256)
        shelf = blob.parent
        shelf.mkdir(exist_ok=True)
        # set before the name exists; safetensors writes 0600, which other users cannot read
        file.chmod(0o444)
        _sync(file)
        try:
            os.link(file, blob)
        except FileExistsError:
            known = FileEntry(blob.name, entry.size, entry.sha256)
            if not (blob.samefile(file) or _intact(shelf, known, Progress())):
                # snapshots have links of their own, and this file is still to be one of a snapshot's
                blob.unlink()
                os.link(file, blob)
        _sync(shelf)
        _sync(self._blobs)
        return blob

    def _blob(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256

    def _write_manifest(self, work: Path, manifest: Manifest) -> None:
        draft = work / "manifest.json"
        draft.write_bytes(manifest.canonical())
        draft.chmod(0o444)
        _sync(draft)
        draft.replace(self._manifests / f"{_hex(manifest.digest)}.json")
        _sync(self._manifests)

    def _discard(self, snapshot: Path) -> None:
        with self.incoming() as work:
            snapshot.chmod(0o755)
            snapshot.rename(work / "damaged")


def _intact(folder: Path, entry: FileEntry, progress: Progress) -> bool:
    try:
        return hash_file(Folder(folder), SourceFile(entry.path, entry.size), progress) == entry
    except (StoreError, OSError):
        # a disk that cannot give the bytes back has lost them: they are fetched again
        return False


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a tree, read-only folders included (published snapshots are)."""
    for folder in [path, *path.rglob("*")] if path.is_dir() else []:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
