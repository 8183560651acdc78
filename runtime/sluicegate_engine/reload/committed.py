"""What this pod has committed itself, remembered across restarts of its container.

The operator moves the pointer last. Until then a container that restarts must come back on what it had
proven, and from then on a later pointer wins.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from sluicegate_engine.pointer import Pointer, Target

_LOG = logging.getLogger("sluicegate_engine")


@dataclass(frozen=True)
class Committed:
    """A model and the sequence of the reload that committed it."""

    sequence: int
    target: Target


def write_committed(path: Path, committed: Committed) -> None:
    """Replace the record as one step that outlives a crash. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as stream:
        json.dump({"sequence": committed.sequence, **committed.target.as_json()}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def read_committed(path: Path) -> Committed | None:
    """The record; None where there is none. One that cannot be understood counts as none, and is told of."""
    try:
        data = json.loads(path.read_bytes())
        target, sequence = Target.parse(data), data["sequence"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        _LOG.warning("the record of this pod's reloads, %s, is of no use: %s", path, error)
        return None
    return Committed(sequence, target) if type(sequence) is int else None


def newest(pointer: Pointer, committed: Committed | None) -> Pointer:
    """What to serve: the greater sequence wins, at a tie the pointer."""
    if committed is None or committed.sequence <= pointer.sequence:
        return pointer
    return replace(pointer, model=committed.target, sequence=committed.sequence)
