"""Which model this pod serves: the operator's pointer file, and the snapshot that the store made for it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate_engine.fatal import FatalError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Target:
    """One model: the name of its ModelVersion and the digest of its files, "sha256:<64 hex>"."""

    version: str
    digest: str


@dataclass(frozen=True)
class Pointer:
    """The model to serve, and the draft model of speculative decoding where there is one."""

    model: Target
    draft: Target | None = None


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
    draft = data.get("draft")
    return Pointer(_target(path, data), None if draft is None else _target(path, draft))


def snapshot_directory(models: Path, target: Target) -> Path:
    """The directory with the target's files under the store's root.

    Raises FatalError SnapshotMissing where the store has not put it there: it appears whole or not at all.
    """
    directory = models / "snapshots" / target.digest.removeprefix("sha256:")
    if not directory.is_dir():
        raise FatalError(
            "SnapshotMissing",
            f"model version {target.version} ({target.digest}) is not under {models}/snapshots; "
            "the store container must have finished before the engine starts",
        )
    return directory


def _target(path: Path, data: Any) -> Target:
    version, digest = (data.get("version"), data.get("digest")) if isinstance(data, dict) else (None, None)
    if not isinstance(version, str) or not version.isprintable() or not version.isascii() or not version:
        raise _invalid(path, '"version" must name a ModelVersion')
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _invalid(path, '"digest" must read sha256: and 64 hexadecimal digits')
    return Target(version, digest)


def _invalid(path: Path, what: str) -> FatalError:
    return FatalError("PointerInvalid", f"the pointer file {path} {what}")
