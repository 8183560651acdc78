"""What of a model's files decides whether it can take another's place in a running engine.

Read from the files' names, the small files and the headers of the large ones: nothing of a model's size is
read, and the engine is not asked.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate_engine.reload.refusal import RefusedError

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
_WEIGHTS = ".safetensors"
_HEADER_LIMIT = 100 << 20
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class Tensor:
    """A tensor as its file's header describes it; `dtype` in safetensors' words, "BF16" for one."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * _BYTES[self.dtype]


@dataclass(frozen=True)
class Snapshot:
    """A model without its values.

    `config` is config.json's content; `files` are the other small files by name, of JSON its value, of what
    is none its hash. `tensors` is what the weight files hold, by name.
    """

    config: Mapping[str, Any]
    files: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def read_snapshot(directory: Path) -> Snapshot:
    """Read a model's folder. Raises RefusedError CheckpointIncomplete or CheckpointCorrupt."""
    try:
        names = sorted(path.name for path in directory.iterdir())
        small = {name: _content(directory / name) for name in names if not name.endswith(_WEIGHTS)}
        weights = [name for name in names if name.endswith(_WEIGHTS)]
        tensors: dict[str, Tensor] = {}
        for name in weights:
            tensors |= _read_header(directory / name)
    except OSError as error:
        raise _incomplete(f"{error.filename} cannot be read ({error.strerror})") from None
    config, index = small.pop(CONFIG, None), small.pop(INDEX, None)
    if not isinstance(config, dict):
        raise _incomplete(f"there is no {CONFIG}, or it is not a JSON object")
    _compare_with_index(index, weights, tensors)
    return Snapshot(config, small, tensors)


def _content(path: Path) -> Any:
    text = path.read_bytes()
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise RefusedError("CheckpointCorrupt", f"{path.name} is not JSON; copy it again") from None
    return hashlib.sha256(text).hexdigest()


def _compare_with_index(index: Any, weights: list[str], tensors: Mapping[str, Tensor]) -> None:
    if not tensors:
        raise _incomplete("no weight file holds a tensor")
    if index is None:
        return
    listed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(listed, dict):
        raise RefusedError("CheckpointCorrupt", f"{INDEX} has no weight_map; copy it again")
    if missing := sorted({str(file) for file in listed.values()} - set(weights)):
        raise _incomplete(f"{INDEX} lists {missing[0]}, which is not there ({len(missing)} such files)")
    if missing := sorted(listed.keys() - tensors.keys()):
        raise _incomplete(f"{INDEX} lists the tensor {missing[0]}, which no file holds ({len(missing)} such)")


def _read_header(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as stream:
        size = path.stat().st_size
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
            raise _corrupt(path, "its header is longer than the file")
        try:
            header = json.loads(stream.read(length))
            tensors = {name: _tensor(entry) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError, RecursionError):
            raise _corrupt(path, "its header is not one of safetensors") from None
    wanted = 8 + length + sum(tensor.bytes for tensor in tensors.values())
    if size != wanted:
        raise _corrupt(path, f"it has {size:,} bytes where its header describes {wanted:,}")
    return tensors


def _tensor(entry: Any) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape]} if dtype in _BYTES and all(
            type(length) is int and length >= 0 for length in shape
        ):
            return Tensor(dtype, tuple(shape))
    raise ValueError("not a tensor")


def _incomplete(what: str) -> RefusedError:
    return RefusedError("CheckpointIncomplete", f"{what}; complete the source and make a new ModelVersion")


def _corrupt(path: Path, what: str) -> RefusedError:
    return RefusedError(
        "CheckpointCorrupt", f"{path.name}: {what}; copy it again and make a new ModelVersion"
    )
