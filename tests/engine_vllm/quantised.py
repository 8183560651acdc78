"""The tiny Llama with quantised weights, in the three formats that vLLM's CPU backend reads.

Rounded to the nearest value and packed here: the libraries that do it want a GPU or a calibration. A weight
has the shape [outputs, inputs]; GROUP inputs share a scale.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

Array = npt.NDArray[Any]
GROUP = 128
_AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def quantise(directory: Path, method: str) -> Path:
    """Quantise the linear layers of the model in this folder. `method` is a key of METHODS."""
    settings, parts_of = METHODS[method]
    path = directory / "model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        layer = name.removesuffix("weight")
        parts = parts_of(tensors.pop(name))
        tensors |= {layer + part: np.ascontiguousarray(value) for part, value in parts.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    return directory


def gptq(weight: Array) -> dict[str, Array]:
    """4 bits around 8, eight inputs a word; the zeros are stored less one."""
    groups = _groups(weight)
    scales = np.abs(groups).max(axis=1) / 7
    values = np.clip(np.rint(groups / scales[:, None]) + 8, 0, 15).reshape(weight.T.shape)
    return {
        "qweight": _pack(values.T).T,
        "scales": scales.astype(np.float16),
        "qzeros": _pack(np.full(scales.shape, 7)),
        "g_idx": np.arange(weight.shape[1], dtype=np.int32) // GROUP,
    }


def awq(weight: Array) -> dict[str, Array]:
    """4 bits from a zero point, eight outputs a word, in an order of their own."""
    groups = _groups(weight)
    low, high = groups.min(axis=1), groups.max(axis=1)
    scales = (high - low) / 15
    zeros = np.clip(np.rint(-low / scales), 0, 15)
    values = np.clip(np.rint(groups / scales[:, None]) + zeros[:, None], 0, 15).reshape(weight.T.shape)
    return {
        "qweight": _pack(_in_awq_order(values)),
        "scales": scales.astype(np.float16),
        "qzeros": _pack(_in_awq_order(zeros)),
    }


def int8(weight: Array) -> dict[str, Array]:
    """8 bits around 0, a scale an output."""
    scales = np.abs(weight).max(axis=1, keepdims=True) / 127
    return {"weight": np.rint(weight / scales).astype(np.int8), "weight_scale": scales.astype(np.float32)}


def _groups(weight: Array) -> Array:
    """[groups, GROUP inputs, outputs]"""
    return weight.T.reshape(-1, GROUP, weight.shape[0])


def _in_awq_order(values: Array) -> Array:
    return values.reshape(len(values), -1, 8)[:, :, _AWQ_ORDER].reshape(values.shape)


def _pack(values: Array) -> Array:
    """Eight 4-bit values of the last axis into one word, the first lowest."""
    nibbles = values.astype(np.uint32).reshape(*values.shape[:-1], -1, 8) << np.arange(
        0, 32, 4, dtype=np.uint32
    )
    return np.bitwise_or.reduce(nibbles, axis=-1).view(np.int32)


_INT8 = {"num_bits": 8, "type": "int", "symmetric": True}
METHODS: dict[str, tuple[dict[str, Any], Callable[[Array], dict[str, Array]]]] = {
    "GPTQ": (
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": True},
        gptq,
    ),
    "AWQ": (
        {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"},
        awq,
    ),
    "COMPRESSED_TENSORS": (
        {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "quantization_status": "compressed",
            "ignore": ["lm_head"],
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {**_INT8, "strategy": "channel", "dynamic": False},
                    "input_activations": {**_INT8, "strategy": "token", "dynamic": True},
                }
            },
        },
        int8,
    ),
}
