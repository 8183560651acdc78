"""Small models on disk: whole ones, and each kind of broken one by a single change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluicegate_store.ingest import SourceSettings

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1,
    "C64": 8,
    "I32": 4,
    "U8": 1,
}


@dataclass(frozen=True)
class Array:
    """A tensor to write; zeros where no bytes are given."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes | None = None

    @property
    def data(self) -> bytes:
        count = 1
        for length in self.shape:
            count *= length
        return self.content if self.content is not None else bytes(count * ITEM_BYTES[self.dtype])


def safetensors(tensors: Mapping[str, Array]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        offsets = [len(body), len(body) + len(tensor.data)]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        body += tensor.data
    return with_header(json.dumps(header).encode(), body)


def with_header(header: bytes, body: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + body


CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
    "vocab_size": 320,
}


@dataclass
class Model:
    """A folder's content by file name; `shards` writes the weights as two files with an index."""

    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder

    def put(self, **files: bytes) -> Model:
        """Add or replace files; `__` in a keyword stands for a dot."""
        self.files |= {name.replace("__", "."): content for name, content in files.items()}
        return self

    def config(self, **values: Any) -> Model:
        self.files["config.json"] = json.dumps(CONFIG | values).encode()
        return self

    def weights(self, tensors: Mapping[str, Array], file: str = "model.safetensors") -> Model:
        self.files[file] = safetensors(tensors)
        return self


def a_model(seed: int = 1) -> Model:
    content = bytes([seed, 0x3F]) * 12
    model = Model().config().weights({"a": Array("BF16", (3, 4), content), "b": Array("F32", (5,))})
    return model.put(
        tokenizer__json=b'{"model": {}}', tokenizer_config__json=b"{}", generation_config__json=b"{}"
    )


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def a_sharded_model(weight_map: Mapping[str, str] | None = None) -> Model:
    model = a_model()
    del model.files["model.safetensors"]
    model.weights({"a": Array("BF16", (4,))}, FIRST).weights({"b": Array("BF16", (4,))}, SECOND)
    index = {"metadata": {}, "weight_map": weight_map or {"a": FIRST, "b": SECOND}}
    return model.put(model__safetensors__index__json=json.dumps(index).encode())


def mounts(root: Path, token: str | None = None) -> SourceSettings:
    return SourceSettings(mounts=root, token=token)
