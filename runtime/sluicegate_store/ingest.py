"""From a source to a published snapshot: fetch or convert into `incoming`, compare digests, publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sluicegate_store.checkpoint import hash_file
from sluicegate_store.disk import require_room
from sluicegate_store.errors import Reason, StoreError, volume_errors
from sluicegate_store.folder import Folder
from sluicegate_store.gguf_convert import convert
from sluicegate_store.layout import Store
from sluicegate_store.manifest import FileEntry, Manifest
from sluicegate_store.progress import Progress
from sluicegate_store.selection import Selection, select
from sluicegate_store.source import Source, SourceFile
from sluicegate_store.uri import HubUri, parse_uri


@dataclass(frozen=True)
class SourceSettings:
    """How sources are reached: where claims are mounted, and the token of this source's hub."""

    mounts: Path
    token: str | None


def open_source(uri: str, endpoint: str | None, settings: SourceSettings) -> Source:
    """The source behind a URI, listed. Raises StoreError (Source…, UnsafePath, UnsupportedFormat)."""
    parsed = parse_uri(uri)
    if isinstance(parsed, HubUri):
        # imported here: it costs half a second and 40 MB that a claim need not pay
        from sluicegate_store.hub import HubSource

        return HubSource(parsed, endpoint, settings.token)
    from sluicegate_store.directory import DirectorySource

    return DirectorySource(parsed, settings.mounts)


def fetch(
    source: Source,
    files: tuple[SourceFile, ...],
    into: Path,
    progress: Progress,
    arrived: Callable[[SourceFile, FileEntry], None] = lambda *_: None,
) -> list[FileEntry]:
    """Bring files over; entries carry the SHA-256 of what arrived. `arrived` is told of each."""
    total = sum(file.size for file in files)
    require_room(into, total, "fetching the model")
    progress.begin("Fetching", total)
    entries = []
    for file in files:
        target = into / file.name
        digest = source.fetch(file, target, progress)
        entries.append(FileEntry(file.name, target.stat().st_size, digest))
        arrived(file, entries[-1])
    return entries


def convert_gguf(source: Source, selection: Selection, work: Path, into: Path, progress: Progress) -> None:
    """Write the safetensors form of the selection's GGUF file to `into`; reads it in place where it can."""
    (file,) = selection.weights
    folder = source.folder
    if folder is None:
        download = work / "download"
        download.mkdir()
        fetch(source, selection.weights, download, progress)
        folder = Folder(download.resolve())
    with folder.open(file.name) as stream:
        # through the descriptor: what was checked is what is read
        convert(Path(f"/proc/self/fd/{stream.fileno()}"), file.name, into, progress)


def ingest(
    store: Store,
    source_uri: str,
    endpoint: str | None,
    digest: str,
    settings: SourceSettings,
    progress: Progress,
) -> Path:
    """Make the model `digest` readable in the store and return its folder.

    What the store already holds is read and hashed again first; then the source is not asked. Raises
    StoreError: DigestMismatch names the expected and the found digest.
    """
    with volume_errors():
        if held := store.verified(digest, progress):
            return held
        progress.begin("Resolving", 0)
        source = open_source(source_uri, endpoint, settings)
        selection = select(source.files())
        with store.incoming() as work:
            files = work / "files"
            files.mkdir()
            manifest = _bring(store, source, selection, work, files, progress)
            require_digest(digest, manifest, source_uri)
            progress.begin("Publishing", 0)
            return store.publish(work, files, manifest)


def _bring(
    store: Store, source: Source, selection: Selection, work: Path, files: Path, progress: Progress
) -> Manifest:
    if selection.format == "safetensors":
        return Manifest.of(_fetch_missing(store, source, selection, files, progress))
    convert_gguf(source, selection, work, files, progress)
    folder = Folder(files.resolve())
    made = folder.files()
    progress.begin("Hashing", sum(file.size for file in made))
    return Manifest.of(hash_file(folder, file, progress) for file in made)


def _fetch_missing(
    store: Store, source: Source, selection: Selection, into: Path, progress: Progress
) -> list[FileEntry]:
    """As `fetch`, but without what an earlier try has brought, and keeping what arrives for a later one.

    That is only worth it where the source tells the hash before the bytes: the large files of a hub.
    """

    def keep(file: SourceFile, entry: FileEntry) -> None:
        if file.sha256 is not None:
            store.keep(into / file.name, entry)

    wanted = selection.metadata + selection.weights
    held = [entry for file in wanted if (entry := store.take(file, into / file.name, progress))]
    names = {entry.path for entry in held}
    missing = tuple(file for file in wanted if file.name not in names)
    return held + fetch(source, missing, into, progress, keep)


def require_digest(expected: str, manifest: Manifest, source_uri: str) -> None:
    """Raise DigestMismatch unless the manifest is the expected one."""
    if manifest.digest != expected:
        raise StoreError(
            Reason.DIGEST_MISMATCH,
            f"{source_uri} holds {manifest.digest}, expected is {expected}: its files changed or the "
            "digest is another model's; point a new ModelVersion at what is there now",
        )
