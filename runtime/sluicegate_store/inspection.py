"""What a source holds, found by reading all of it: identity, size and facts, or the reason to refuse it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate_store.checkpoint import hash_file, read_outline, read_weights
from sluicegate_store.errors import volume_errors
from sluicegate_store.facts import Facts, read_facts
from sluicegate_store.folder import Folder
from sluicegate_store.ingest import convert_gguf, fetch, require_digest
from sluicegate_store.manifest import Manifest
from sluicegate_store.progress import Progress
from sluicegate_store.selection import Selection, select
from sluicegate_store.source import Source


@dataclass(frozen=True)
class Inspection:
    """A sound model: its manifest and facts. The format served is safetensors, whatever the source's was."""

    manifest: Manifest
    facts: Facts

    def body(self) -> dict[str, Any]:
        """The result as it goes onto the wire."""
        return {
            "digest": self.manifest.digest,
            "sizeBytes": self.manifest.total_bytes,
            "files": len(self.manifest.files),
            "format": "safetensors",
            "facts": self.facts,
        }


def inspect(source: Source, uri: str, expected: str | None, scratch: Path, progress: Progress) -> Inspection:
    """Read and judge a source. A claim's safetensors are read in place; all else passes through `scratch`.

    Raises StoreError with the first thing found wrong; DigestMismatch last, when all else is in order.
    """
    with volume_errors(), tempfile.TemporaryDirectory(dir=scratch, prefix="inspect-") as name:
        work = Path(name).resolve()
        selection = select(source.files())
        if source.folder is not None and selection.format == "safetensors":
            found = _examine(source.folder, selection, progress)
        else:
            found = _examine_copy(source, selection, work, progress)
        if expected is not None:
            require_digest(expected, found.manifest, uri)
        return found


def _examine_copy(source: Source, selection: Selection, work: Path, progress: Progress) -> Inspection:
    files = work / "files"
    files.mkdir()
    folder = Folder(files)
    if selection.format == "gguf":
        convert_gguf(source, selection, work, files, progress)
        return _examine(folder, select(folder.files()), progress)
    fetch(source, selection.metadata, files, progress)
    # refused here, before the weights are fetched, where the small files already tell
    read_outline(folder, selection)
    fetch(source, selection.weights, files, progress)
    return _examine(folder, selection, progress)


def _examine(folder: Folder, selection: Selection, progress: Progress) -> Inspection:
    outline = read_outline(folder, selection)
    progress.begin("Reading", selection.size)
    weights = read_weights(folder, selection, outline, progress)
    small = [hash_file(folder, file, progress) for file in selection.metadata]
    manifest = Manifest.of([*small, *weights.entries])
    return Inspection(manifest, read_facts(outline, weights, manifest.files))
