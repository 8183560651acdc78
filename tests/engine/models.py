"""Model folders of a few hundred bytes, which the preflight takes for whole checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 4, "num_hidden_layers": 1}
SMALL_FILES: dict[str, Any] = {
    "config.json": CONFIG,
    "generation_config.json": {"eos_token_id": 1},
    "tokenizer.json": {"model": {"vocab": {"a": 0}}},
    "tokenizer_config.json": {"chat_template": "{{ messages }}"},
}
TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def safetensors(tensors: dict[str, Any], data: bytes) -> bytes:
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + data


def write_model(directory: Path, letter: str = "a", **files: object) -> Path:
    """A model whose weights the stand-in of vLLM takes for this letter.

    `files` take the place of others, by name without what follows the dot; None leaves one out.
    """
    directory.mkdir(parents=True)
    weights = safetensors({"weight": TENSOR}, letter.encode() * 16)
    content: dict[str, object] = {**SMALL_FILES, "model.safetensors": weights}
    for name in list(content):
        content[name] = files.pop(name.partition(".")[0], content[name])
    assert not files, f"no such files: {files}"
    for name, each in content.items():
        if each is not None:
            data = each if isinstance(each, bytes) else json.dumps(each).encode()
            (directory / name).write_bytes(data)
    return directory
