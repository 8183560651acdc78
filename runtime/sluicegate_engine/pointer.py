"""Which model this pod serves: the operator's pointer file, and the snapshot that the store made for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate_engine.fatal import FatalError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where the files come from; `endpoint` is the address of a hub that is not the usual one."""

    uri: str
    endpoint: str | None = None

    def as_json(self) -> dict[str, str]:
        return {"uri": self.uri} | ({"endpoint": self.endpoint} if self.endpoint else {})


@dataclass(frozen=True)
class Target:
    """One model: the name of its ModelVersion, the digest of its files, "sha256:<64 hex>", and their source.

    The source is None where nobody has told it: the files must be there then.
    """

    version: str
    digest: str
    source: Source | None = None

    def __str__(self) -> str:
        return f"model version {self.version}, {self.digest}"

    @staticmethod
    def parse(data: Any) -> Target:
        """The target in {"version", "digest", "source"}. Raises ValueError, which says what is wrong."""
        if not isinstance(data, Mapping):
            raise ValueError('must be an object with "version" and "digest"')
        version, digest = data.get("version"), data.get("digest")
        if not isinstance(version, str) or not version.isprintable() or not version.isascii() or not version:
            raise ValueError('"version" must name a ModelVersion')
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError('"digest" must read sha256: and 64 hexadecimal digits')
        match data.get("source"):
            case None:
                return Target(version, digest)
            case {"uri": str(uri), "endpoint": str() | None as endpoint}:
                return Target(version, digest, Source(uri, endpoint))
            case {"uri": str(uri), **rest} if "endpoint" not in rest:
                return Target(version, digest, Source(uri))
        raise ValueError('"source" must have a "uri"')

    def as_json(self) -> dict[str, Any]:
        source = {"source": self.source.as_json()} if self.source else {}
        return {"version": self.version, "digest": self.digest, **source}


@dataclass(frozen=True)
class Pointer:
    """The model to serve, and the draft model of speculative decoding where there is one.

    `sequence` is that of the reload which the operator moved the pointer for, 0 before any.
    """

    model: Target
    draft: Target | None = None
    sequence: int = 0


def read_pointer(path: Path) -> Pointer:
    """Read the pointer file. Raises FatalError PointerInvalid where it is absent or says something else."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _invalid(path, "does not exist; the pod's pointer ConfigMap must be mounted there") from None
    except (OSError, ValueError) as error:
        raise _invalid(path, f"cannot be read as JSON ({error})") from None
    if not isinstance(data, dict):
        raise _invalid(path, "is not a JSON object")
    draft, sequence = data.get("draft"), data.get("sequence", 0)
    if type(sequence) is not int or sequence < 0:
        raise _invalid(path, '"sequence" must be an integer of at least 0')
    return Pointer(_target(path, data), None if draft is None else _target(path, draft), sequence)


def has_snapshot(models: Path, target: Target) -> bool:
    """Whether the store has put the target's files under its root."""
    return _directory(models, target).is_dir()


def snapshot_directory(models: Path, target: Target) -> Path:
    """The directory with the target's files under the store's root.

    Raises FatalError SnapshotMissing where the store has not put it there: it appears whole or not at all.
    """
    directory = _directory(models, target)
    if not directory.is_dir():
        raise FatalError(
            "SnapshotMissing",
            f"model version {target.version} ({target.digest}) is not under {models}/snapshots; "
            "the store container must have finished before the engine starts",
        )
    return directory


def _directory(models: Path, target: Target) -> Path:
    return models / "snapshots" / target.digest.removeprefix("sha256:")


def _target(path: Path, data: Any) -> Target:
    try:
        return Target.parse(data)
    except ValueError as error:
        raise _invalid(path, str(error)) from None


def _invalid(path: Path, what: str) -> FatalError:
    return FatalError("PointerInvalid", f"the pointer file {path} {what}")
