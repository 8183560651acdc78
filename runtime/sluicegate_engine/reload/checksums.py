"""What a model's weights are, in numbers: equal weights give equal sums, on any device, in any process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

PACKED = "cpu_linear"
"""Where vLLM's CPU backend keeps the function that holds a layer's repacked weights."""
PIECE_BYTES = 64 << 20
"""Weights are summed up, and moved, in pieces of this size: one takes about a millisecond on its way."""
_PROBES = 8
_ODD = 2654435761
_COLUMNS = 4096
_WORD = 8
_MIXERS = ((33, -49064778989728563), (33, -4265267296055464877))
"""A shift and an odd factor each: those of MurmurHash's end, by which each bit bears on the whole sum."""
_NOT_FINITE = {
    torch.bfloat16: (torch.int16, 0x7F80),
    torch.float16: (torch.int16, 0x7C00),
    torch.float32: (torch.int32, 0x7F800000),
}
_SCAN_ELEMENTS = 1 << 19
"""Half a million values stay in a processor's cache."""

Sums = Sequence[torch.Tensor]


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as a row of bytes. The tensor is contiguous."""
    return tensor.detach().view(-1).view(torch.uint8)


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Tensors of equal size side by side, as bytes, cut into pieces."""
    rows = [as_bytes(tensor) for tensor in tensors]
    for begin in range(0, rows[0].numel(), PIECE_BYTES):
        yield tuple(row[begin : begin + PIECE_BYTES] for row in rows)


def sums(piece: torch.Tensor) -> list[torch.Tensor]:
    """64-bit sums that depend on every bit of a piece's bytes and on where it stands.

    The piece is taken for a table of words and its rows and columns are added up: no cast, no copy of it, and
    two passes at the speed of its memory.
    """
    table_bytes = piece.numel() // (_COLUMNS * _WORD) * _COLUMNS * _WORD
    table, rest = piece[:table_bytes].view(torch.int64).view(-1, _COLUMNS), piece[table_bytes:]
    found = [table.sum(1), table.sum(0)] if table_bytes else []
    if rest.numel():
        words = torch.zeros(-(-rest.numel() // _WORD), dtype=torch.int64, device=rest.device)
        words.view(torch.uint8)[: rest.numel()] = rest
        found.append(words)
    return found


def fingerprint(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The sums of all its pieces; they stay on the tensor's device."""
    return [each for (piece,) in pieces(tensor.contiguous()) for each in sums(piece)]


def fingerprints(model: torch.nn.Module) -> dict[str, Sums]:
    """The sums of each parameter, and of each layer whose weights are packed away.

    Nobody can read those. They are told by what they make of fixed inputs, which each of them bears on; call
    this from one thread only, for the kernels share their scratch space.
    """
    with torch.inference_mode():
        found: dict[str, Sums] = {
            name: fingerprint(each) for name, each in model.named_parameters() if each.numel()
        }
        for name, layer in model.named_modules():
            if PACKED in layer.__dict__:
                found[f"{name}.{PACKED}"] = fingerprint(_answer(layer))
        return found


def digest(found: Mapping[str, Sums]) -> str:
    """All sums in one: 16 hex digits."""
    row = torch.cat(list(_in_order(found)))
    mixed = row + torch.arange(row.numel(), device=row.device) * _ODD
    for shift, factor in _MIXERS:
        mixed = (mixed ^ (mixed >> shift & (1 << 64 - shift) - 1)) * factor
    return f"{int(mixed.sum().item()) % (1 << 64):016x}"


def _in_order(found: Mapping[str, Sums]) -> Iterable[torch.Tensor]:
    return (each for name in sorted(found) for each in found[name])


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
