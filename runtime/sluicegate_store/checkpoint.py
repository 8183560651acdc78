"""Whether a safetensors folder is a whole, sound checkpoint; in two steps, so that gigabytes are fetched only
for a model whose small files are in order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.folder import Folder
from sluicegate_store.manifest import FileEntry
from sluicegate_store.progress import Progress
from sluicegate_store.selection import CONFIG, INDEX, MODELOPT, Selection
from sluicegate_store.source import SourceFile, chunks
from sluicegate_store.tensors import Header, read_header, scan

JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class Outline:
    """What the small files say: the configuration, ModelOpt's quantization beside it (empty without), and
    tensor name → weight file where there is an index."""

    config: Mapping[str, Any]
    modelopt: Mapping[str, Any]
    weight_map: Mapping[str, str] | None


@dataclass(frozen=True)
class Weights:
    """What the weight files hold: their entries, and stored elements by safetensors dtype."""

    entries: tuple[FileEntry, ...]
    elements: Mapping[str, int]


def read_outline(folder: Folder, selection: Selection) -> Outline:
    """Check the small files and that the weight files are those that the index lists.

    Raises ConfigInvalid, CheckpointIncomplete, CheckpointCorrupt or UnsafePath.
    """
    config = _read_json(folder, CONFIG, Reason.CONFIG_INVALID)
    architectures = config.get("architectures")
    if not (isinstance(architectures, list) and architectures and all(_is_name(a) for a in architectures)):
        raise StoreError(
            Reason.CONFIG_INVALID,
            f"{CONFIG} names no architectures; add the model class, as transformers writes it",
        )
    small = {file.name for file in selection.metadata}
    modelopt = _read_json(folder, MODELOPT, Reason.CONFIG_INVALID) if MODELOPT in small else {}
    names = {file.name for file in selection.weights}
    if INDEX not in small:
        if len(names) > 1:
            raise StoreError(
                Reason.CHECKPOINT_INCOMPLETE,
                f"{len(names)} weight files but no {INDEX}, so that none can be missed; add the index",
            )
        return Outline(config, modelopt, None)
    weight_map = _read_weight_map(folder)
    _compare_files(set(weight_map.values()), names)
    return Outline(config, modelopt, weight_map)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and len(value) <= 100


def _read_json(folder: Folder, name: str, reason: Reason) -> dict[str, Any]:
    with folder.open(name) as stream:
        text = stream.read(JSON_LIMIT + 1)
    try:
        document = json.loads(text) if len(text) <= JSON_LIMIT else None
    except (ValueError, RecursionError) as error:
        detail = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "encoding or nesting"
        raise StoreError(reason, f"{name} is not JSON ({detail}); correct or copy it again") from error
    if not isinstance(document, dict):
        raise StoreError(reason, f"{name} is not a JSON object of at most {JSON_LIMIT:,} bytes; correct it")
    return document


def _read_weight_map(folder: Folder) -> dict[str, str]:
    weight_map = _read_json(folder, INDEX, Reason.CHECKPOINT_CORRUPT).get("weight_map")
    if not (
        isinstance(weight_map, dict) and weight_map and all(isinstance(v, str) for v in weight_map.values())
    ):
        raise StoreError(Reason.CHECKPOINT_CORRUPT, f"{INDEX} has no weight_map; copy it again")
    for file in set(weight_map.values()):
        if "/" in file or file in (".", ".."):
            raise StoreError(
                Reason.UNSAFE_PATH,
                f"{INDEX} lists {shorten(file)!r}, which is not a file beside it; list plain file names",
            )
    return weight_map


def _compare_files(listed: set[str], found: set[str]) -> None:
    if missing := sorted(listed - found):
        raise StoreError(
            Reason.CHECKPOINT_INCOMPLETE,
            f"{len(missing)} of {len(listed)} weight files that {INDEX} lists are missing, first "
            f"{shorten(missing[0])}; complete the source",
        )
    if extra := sorted(found - listed):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT,
            f"{shorten(extra[0])} is a weight file that {INDEX} does not list; remove it or list it",
        )


def read_weights(folder: Folder, selection: Selection, outline: Outline, progress: Progress) -> Weights:
    """Read every weight file once: structure, values and SHA-256.

    Raises CheckpointCorrupt, CheckpointIncomplete or NonFiniteWeights.
    """
    headers = {file.name: _header(folder, file) for file in selection.weights}
    _compare_tensors(headers, outline.weight_map)
    elements: Counter[str] = Counter()
    entries = []
    for file in selection.weights:
        with folder.open(file.name) as stream:
            header = read_header(stream, file.size, file.name)
            entries.append(FileEntry(file.name, file.size, scan(stream, header, file.name, progress)))
        for tensor in header.tensors:
            elements[tensor.dtype] += tensor.elements
    return Weights(tuple(entries), elements)


def _header(folder: Folder, file: SourceFile) -> Header:
    with folder.open(file.name) as stream:
        return read_header(stream, file.size, file.name)


def _compare_tensors(headers: Mapping[str, Header], weight_map: Mapping[str, str] | None) -> None:
    held: dict[str, str] = {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if (other := held.setdefault(tensor.name, file)) != file:
                raise StoreError(
                    Reason.CHECKPOINT_CORRUPT,
                    f"tensor {shorten(tensor.name)!r} is in {shorten(other)} and {shorten(file)}; keep one",
                )
    if not held:
        raise StoreError(Reason.CHECKPOINT_CORRUPT, "the weight files hold no tensor; export the model again")
    if weight_map is None:
        return
    for name in weight_map:
        if held.get(name) != weight_map[name]:
            raise StoreError(
                Reason.CHECKPOINT_INCOMPLETE,
                f"tensor {shorten(name)!r} is not in {shorten(weight_map[name])}, where {INDEX} puts it; "
                "copy both again",
            )
    if extra := sorted(held.keys() - weight_map.keys()):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT,
            f"tensor {shorten(extra[0])!r} in {shorten(held[extra[0]])} is not in {INDEX}; copy both again",
        )


def hash_file(folder: Folder, file: SourceFile, progress: Progress) -> FileEntry:
    """Size and SHA-256 of one file as it is read now."""
    digest, size = hashlib.sha256(), 0
    with folder.open(file.name) as stream:
        for chunk in chunks(stream):
            digest.update(chunk)
            size += len(chunk)
            progress.advance(len(chunk))
    return FileEntry(file.name, size, digest.hexdigest())
