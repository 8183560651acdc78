"""A model on a PersistentVolumeClaim that is mounted read-only under one root, one folder a claim."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.folder import Folder
from sluicegate_store.progress import Progress
from sluicegate_store.source import SourceFile, chunks
from sluicegate_store.uri import ClaimUri


class DirectorySource:
    """Reads `<mounts>/<claim>/<path>` in place. Raises SourceNotFound, SourceForbidden or UnsafePath."""

    def __init__(self, uri: ClaimUri, mounts: Path) -> None:
        claim = Path(os.path.realpath(mounts / uri.claim))
        place = Path(os.path.realpath(claim / uri.path))
        if place != claim and claim not in place.parents:
            raise StoreError(
                Reason.UNSAFE_PATH, f"{uri} is a link that leaves the claim; name the folder itself"
            )
        try:
            is_folder, is_file = place.is_dir(), place.is_file()
            if is_folder:
                os.scandir(place).close()
        except PermissionError as error:
            raise StoreError(
                Reason.SOURCE_FORBIDDEN,
                f"{uri} may not be read by uid {os.getuid()}; make the folder world-readable",
            ) from error
        if not is_folder and not is_file:
            raise StoreError(
                Reason.SOURCE_NOT_FOUND, f"{uri} does not exist on the claim; check the path and its case"
            )
        if is_file and place.suffix.lower() != ".gguf":
            raise StoreError(
                Reason.UNSUPPORTED_FORMAT, f"{uri} is a single file; name the folder of the model"
            )
        self._folder = Folder(place) if is_folder else Folder(place.parent, only=place.name)

    @property
    def folder(self) -> Folder:
        """The files where they lie."""
        return self._folder

    def files(self) -> tuple[SourceFile, ...]:
        """All top-level files, sorted by name."""
        return self._folder.files()

    def fetch(self, file: SourceFile, target: Path, progress: Progress) -> str:
        """Copy a file, hashing what is written."""
        digest = hashlib.sha256()
        with self._folder.open(file.name) as stream, target.open("xb") as out:
            for chunk in chunks(stream):
                digest.update(chunk)
                out.write(chunk)
                progress.advance(len(chunk))
        return digest.hexdigest()
