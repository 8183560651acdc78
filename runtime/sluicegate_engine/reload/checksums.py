"""What a model's weights are, in numbers: equal weights give equal sums, on any device, in any process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

PACKED = "cpu_linear"
"""Where vLLM's CPU backend keeps the function that holds a layer's repacked weights."""
_PROBES = 8
_MASK = (1 << 62) - 1
_ODD = 2654435761
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NOT_FINITE = {
    torch.bfloat16: (torch.int16, 0x7F80),
    torch.float16: (torch.int16, 0x7C00),
    torch.float32: (torch.int32, 0x7F800000),
}
_SCAN_ELEMENTS = 1 << 19
"""Half a million values stay in a processor's cache."""


def checksum(tensor: torch.Tensor) -> int:
    """Depends on every bit of the tensor and on where it stands."""
    flat = tensor.detach().contiguous().reshape(-1)
    bits = flat.view(_INTEGERS[tensor.element_size()])
    columns = next(width for width in (4096, 64, 1) if bits.numel() % width == 0)
    table = bits.view(-1, columns)
    rows, sums = table.sum(1, dtype=torch.int64), table.sum(0, dtype=torch.int64)
    return int((_weighted(rows) * 31 + _weighted(sums)).item()) & _MASK


def fingerprints(model: torch.nn.Module) -> dict[str, int]:
    """A number for each parameter, and one for each layer whose weights are packed away.

    Nobody can read those. They are told by what they make of fixed inputs, which each of them bears on; call
    this from one thread only, for the kernels share their scratch space.
    """
    with torch.inference_mode():
        sums = {name: checksum(each) for name, each in model.named_parameters() if each.numel()}
        for name, layer in model.named_modules():
            if PACKED in layer.__dict__:
                sums[f"{name}.{PACKED}"] = checksum(_answer(layer))
        return sums


def digest(sums: Mapping[str, int]) -> str:
    """All sums in one: 16 hex digits."""
    total = 0
    for name in sorted(sums):
        total = (total * 1000003 + sums[name] + sum(name.encode())) & _MASK
    return f"{total:016x}"


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


def _weighted(values: torch.Tensor) -> torch.Tensor:
    places = torch.arange(values.numel(), device=values.device) * _ODD + 97
    return (values * places).sum()
