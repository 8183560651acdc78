"""Safetensors files without a framework: header checked before use, every value looked at, memory bounded."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.progress import Progress
from sluicegate_store.source import CHUNK

HEADER_LIMIT = 100 << 20
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
# A value with all these bits set is infinite or not a number.
_NON_FINITE: dict[str, np.unsignedinteger[Any]] = {
    "F64": np.uint64(0x7FF0_0000_0000_0000),
    "F32": np.uint32(0x7F80_0000),
    "C64": np.uint32(0x7F80_0000),
    "F16": np.uint16(0x7C00),
    "BF16": np.uint16(0x7F80),
    "F8_E5M2": np.uint8(0x7C),
    "F8_E4M3": np.uint8(0x7F),
    "F8_E8M0": np.uint8(0xFF),
}
# These have one NaN, where others have the negative zero, and no infinity.
_ONE_NAN = {"F8_E4M3FNUZ": np.uint8(0x80), "F8_E5M2FNUZ": np.uint8(0x80)}


@dataclass(frozen=True)
class Tensor:
    """One tensor: dtype as safetensors writes it, shape, and its bytes [begin, end) after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """Raw header bytes (length prefix included) and the tensors in the order of their bytes."""

    raw: bytes
    tensors: tuple[Tensor, ...]


def read_header(stream: FileIO, size: int, file: str) -> Header:
    """The header of a safetensors file of `size` bytes; CheckpointCorrupt unless tensors cover it exactly."""
    prefix = _read_exactly(stream, 8, file)
    length = int.from_bytes(prefix, "little")
    if length > min(HEADER_LIMIT, size - 8):
        raise _corrupt(
            file,
            f"its header claims {length:,} bytes of a file of {size:,}; it is truncated or no safetensors",
        )
    raw = _read_exactly(stream, length, file)
    try:
        entries = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _corrupt(file, "its header is not JSON with unique names") from error
    if not isinstance(entries, dict):
        raise _corrupt(file, "its header is not a JSON object")
    tensors = [_tensor(name, entry, file) for name, entry in entries.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    _check_cover(tensors, size - 8 - length, file)
    return Header(prefix + raw, tuple(tensors))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name is there twice")
    return entries


def _tensor(name: str, entry: Any, file: str) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if all(
            type(length) is int and length >= 0 for length in shape
        ):
            tensor = Tensor(name, dtype, tuple(shape), begin, end)
        case _:
            raise _corrupt(file, f"tensor {shorten(name)!r} lacks dtype, shape or data_offsets")
    if dtype not in _BITS:
        raise _corrupt(file, f"tensor {shorten(name)!r} has the unknown dtype {shorten(dtype)!r}")
    if (end - begin) * 8 != tensor.elements * _BITS[dtype]:
        raise _corrupt(
            file, f"tensor {shorten(name)!r}: {end - begin:,} bytes do not fit its shape and dtype"
        )
    return tensor


def _check_cover(tensors: list[Tensor], size: int, file: str) -> None:
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise _corrupt(
                file, f"tensor {shorten(tensor.name)!r} overlaps another or leaves a gap before it"
            )
        position = tensor.end
    if position != size:
        raise _corrupt(
            file, f"its tensors end at byte {position:,} of {size:,}; it is truncated or has a tail"
        )


def scan(stream: FileIO, header: Header, file: str, progress: Progress) -> str:
    """Read all tensors once, right after `read_header`; return the file's SHA-256.

    Raises NonFiniteWeights with the first tensor that holds NaN or infinity. Memory: one chunk.
    """
    digest = hashlib.sha256(header.raw)
    progress.advance(len(header.raw))
    buffer = memoryview(bytearray(CHUNK))
    for tensor in header.tensors:
        left = tensor.end - tensor.begin
        while left:
            piece = buffer[: min(left, CHUNK)]
            _fill(stream, piece, file)
            digest.update(piece)
            _check_finite(piece, tensor, file)
            progress.advance(len(piece))
            left -= len(piece)
    return digest.hexdigest()


def _check_finite(piece: memoryview, tensor: Tensor, file: str) -> None:
    if not _is_finite(piece, tensor.dtype):
        raise StoreError(
            Reason.NON_FINITE_WEIGHTS,
            f"tensor {shorten(tensor.name)!r} in {shorten(file)} holds NaN or infinity; "
            "the checkpoint is damaged: export it again",
        )


def _is_finite(piece: memoryview, dtype: str) -> bool:
    if (nan := _ONE_NAN.get(dtype)) is not None:
        return not (np.frombuffer(piece, nan.dtype) == nan).any()
    if (mask := _NON_FINITE.get(dtype)) is None:
        return True
    bits: npt.NDArray[Any] = np.frombuffer(piece, mask.dtype)
    return not ((bits & mask) == mask).any()


def _read_exactly(stream: FileIO, count: int, file: str) -> bytes:
    content = bytearray(count)
    _fill(stream, memoryview(content), file)
    return bytes(content)


def _fill(stream: FileIO, buffer: memoryview, file: str) -> None:
    while buffer:
        count = stream.readinto(buffer)
        if not count:
            raise _corrupt(file, "it ends in the middle of its data")
        buffer = buffer[count:]


def _corrupt(file: str, what: str) -> StoreError:
    return StoreError(Reason.CHECKPOINT_CORRUPT, f"{shorten(file)}: {what}; copy the file again")
