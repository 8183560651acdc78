"""What a model *is*: the sorted list of its files with sizes and SHA-256, and the digest of that list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SCHEMA = "sluicegate.dev/manifest/v1"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file: path relative to the model's folder, size in bytes, SHA-256 in lower-case hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of one model, sorted by path. Where they came from is not part of it."""

    files: tuple[FileEntry, ...]

    @classmethod
    def of(cls, files: Iterable[FileEntry]) -> Manifest:
        """The manifest of these files in any order; ValueError on a path that is twice there or unsafe."""
        ordered = tuple(sorted(files))
        paths = [entry.path for entry in ordered]
        if len(set(paths)) != len(paths):
            raise ValueError("a manifest names each path once")
        for path in paths:
            if not is_plain_path(path):
                raise ValueError(f"a manifest holds plain relative paths, not {path!r}")
        return cls(ordered)

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """The manifest of its canonical text; ValueError where any byte differs from that form."""
        document: Any = json.loads(text)
        try:
            entries = [
                FileEntry(path=item["path"], size=int(item["size"]), sha256=str(item["sha256"]))
                for item in document["files"]
            ]
        except (KeyError, TypeError) as error:
            raise ValueError("not a manifest") from error
        manifest = cls.of(entries)
        if manifest.canonical() != text or not all(SHA256.fullmatch(entry.sha256) for entry in entries):
            raise ValueError("not a manifest in canonical form")
        return manifest

    def canonical(self) -> bytes:
        """JSON with sorted keys and no spaces, UTF-8: the same bytes on every machine."""
        files = [{"path": e.path, "size": e.size, "sha256": e.sha256} for e in self.files]
        document = {"schema": SCHEMA, "files": files}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        """Identity: `sha256:` and the SHA-256 of the canonical text."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    @property
    def total_bytes(self) -> int:
        """Sum of all sizes, in bytes."""
        return sum(entry.size for entry in self.files)


def is_plain_path(path: str) -> bool:
    """Whether a path is relative, normalised and free of control characters: it cannot leave its folder."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and path.isprintable()
