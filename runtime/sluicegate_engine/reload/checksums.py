"""What a model's weights are, in numbers: equal weights give equal sums, on any device, in any process."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

import torch

PACKED = "cpu_linear"
"""Where vLLM's CPU backend keeps the function that holds a layer's repacked weights."""
PIECE_BYTES = 64 << 20
"""Weights are summed up, and moved, in pieces of this size: one takes about a millisecond on its way."""
_PROBES = 8
_ODD = 2654435761
_MIXERS = ((33, -49064778989728563), (33, -4265267296055464877))
"""A shift and an odd factor each: those of MurmurHash's end, by which each bit bears on the whole sum."""
_ROW_BYTES = 8192
_SUMS_OF_A_ROW = 16
"""Of this shape a GPU multiplies as fast as it reads: with rows of 32 KiB, or 8 sums, it takes longer."""
_FEWEST_ROWS = 17
"""CUDA multiplies no table of fewer."""
_SHORT_BYTES = _FEWEST_ROWS * _ROW_BYTES
_FOLDED_BYTES = 16 << 20
"""So much of the memory is taken by sums at a time."""
_NOT_FINITE = {
    torch.bfloat16: (torch.int16, 0x7F80),
    torch.float16: (torch.int16, 0x7C00),
    torch.float32: (torch.int32, 0x7F800000),
}
_SCAN_ELEMENTS = 1 << 19
"""Half a million values stay in a processor's cache."""


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as a row of bytes. The tensor is contiguous."""
    return tensor.detach().view(-1).view(torch.uint8)


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Tensors of equal size side by side, as bytes, cut into pieces."""
    rows = [as_bytes(tensor) for tensor in tensors]
    for begin in range(0, rows[0].numel(), PIECE_BYTES):
        yield tuple(row[begin : begin + PIECE_BYTES] for row in rows)


def sums(piece: torch.Tensor) -> torch.Tensor:
    """32-bit sums that depend on every bit of a piece's bytes and on where it stands, 16 for each 8 KiB.

    The bytes are taken for rows of a table, each of which is multiplied by a fixed table of odd factors: one
    pass at the speed of the memory, no copy, exact on every device. The last row is filled up with zeros. So
    a tensor may be cut between any two rows and its sums are those of the pieces, one after another.
    """
    whole = piece.numel() // _ROW_BYTES * _ROW_BYTES if piece.numel() >= _SHORT_BYTES else 0
    found = [_multiplied(piece[:whole])] if whole else []
    if rest := piece.numel() - whole:
        rows = -(-rest // _ROW_BYTES)
        filled = torch.zeros(max(rows, _FEWEST_ROWS) * _ROW_BYTES, dtype=torch.uint8, device=piece.device)
        filled[:rest] = piece[whole:]
        found.append(_multiplied(filled)[: rows * _SUMS_OF_A_ROW])
    return found[0] if len(found) == 1 else torch.cat(found)


def is_short(tensor: torch.Tensor) -> bool:
    """Whether it stands for itself: a GPU has read it before the processor has told it to multiply."""
    return bool(tensor.nbytes < _SHORT_BYTES)


def words(piece: torch.Tensor) -> torch.Tensor:
    """A piece's bytes as 32-bit words, filled up with zeros."""
    missing = -piece.numel() % 4
    return (torch.nn.functional.pad(piece, (0, missing)) if missing else piece).view(torch.int32)


def fingerprint(tensor: torch.Tensor) -> torch.Tensor:
    """The sums by which it is known, or the words of a short one; they stay on its device."""
    row = as_bytes(tensor.contiguous())
    return words(row) if is_short(tensor) else sums(row)


def fingerprints(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The sums of each parameter by name, and then of each layer whose weights are packed away.

    Nobody can read those. They are told by what they make of fixed inputs, which each of them bears on; call
    this from one thread only, for the kernels share their scratch space.
    """
    for _, parameter in sorted(model.named_parameters(), key=itemgetter(0)):
        if parameter.numel():
            yield fingerprint(parameter)
    for _, layer in sorted(model.named_modules(), key=itemgetter(0)):
        if PACKED in layer.__dict__:
            yield fingerprint(_answer(layer))


def digest(found: Iterable[torch.Tensor]) -> str:
    """All sums of a model in one: 16 hex digits."""
    with torch.inference_mode():
        row = torch.cat(list(_folded(found))).to(torch.int64)
        mixed = _mixed(row + torch.arange(row.numel(), device=row.device) * _ODD)
        return f"{int(mixed.sum().item()) % (1 << 64):016x}"


def _folded(found: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Sums of these sums, as soon as they are many: together they would be 1 % of the model."""
    kept: list[torch.Tensor] = []
    size = 0
    for each in found:
        kept.append(each)
        size += each.nbytes
        if size >= _FOLDED_BYTES:
            yield sums(as_bytes(torch.cat(kept)))
            kept, size = [], 0
    if kept:
        yield sums(as_bytes(torch.cat(kept)))


def _multiplied(table: torch.Tensor) -> torch.Tensor:
    """The sums of rows that are whole, one row's after another's."""
    rows = table.view(torch.int8).view(-1, _ROW_BYTES)
    return torch._int_mm(rows, _factors(table.device).T).view(-1)


@functools.cache
def _factors(device: torch.device) -> torch.Tensor:
    """A row of odd numbers from -63 to 63 for each sum.

    With larger ones, processors that add two products up in 16 bits would not multiply exactly.
    """
    places = torch.arange(_SUMS_OF_A_ROW * _ROW_BYTES)
    return (_mixed(places) >> 57 | 1).to(torch.int8).view(_SUMS_OF_A_ROW, _ROW_BYTES).to(device)


def _mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Of 64 bits each; different ones become different ones."""
    for shift, factor in _MIXERS:
        numbers = (numbers ^ (numbers >> shift & (1 << 64 - shift) - 1)) * factor
    return numbers


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite, told by the exponent's bits. The tensor lies on the CPU."""
    if tensor.dtype not in _NOT_FINITE:
        return not tensor.is_floating_point() or bool(torch.isfinite(tensor.float()).all())
    integer, exponent = _NOT_FINITE[tensor.dtype]
    bits = tensor.detach().contiguous().reshape(-1).view(integer).numpy()
    for begin in range(0, len(bits), _SCAN_ELEMENTS):
        if ((bits[begin : begin + _SCAN_ELEMENTS] & exponent) == exponent).any():
            return False
    return True


def _answer(layer: Any) -> torch.Tensor:
    inputs = getattr(layer, "input_size_per_partition", None) or layer.embedding_dim
    signs = (torch.arange(_PROBES * inputs, dtype=torch.int64) * _ODD >> 16) & 1
    probes = (1 - 2 * signs).view(_PROBES, inputs).to(layer.weight.dtype)
    answer: torch.Tensor = getattr(layer, PACKED)(probes, layer.weight, None)
    return answer
