"""A Llama in GGUF, to change and to convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from sluicegate_store.errors import StoreError
from sluicegate_store.gguf_convert import convert
from sluicegate_store.progress import Progress

HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, INNER, VOCABULARY = 64, 4, 2, 16, 96, 12
TOKENS = ["<|end|>", "<|start|>", "<tool>", "a", "b", "ab", "Ġ", "1", "2", "12", "Ċ", "c"]
KINDS = [3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def values(rows: int, columns: int, seed: int) -> np.ndarray[Any, Any]:
    """Numbers that look random and are the same everywhere."""
    count = np.arange(rows * columns, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed)
    return ((count % np.uint64(2001)).astype(np.float32) / 1000 - 1).reshape(rows, columns)


def llama_cpp_order(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """What llama.cpp's converter does to q and k, as its source says it."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def original() -> dict[str, np.ndarray[Any, Any]]:
    tensors = {
        "model.embed_tokens.weight": values(VOCABULARY, HIDDEN, 1),
        "model.norm.weight": values(1, HIDDEN, 2)[0],
    }
    shapes = {
        "self_attn.q_proj": (HEADS * HEAD_SIZE, HIDDEN),
        "self_attn.k_proj": (KV_HEADS * HEAD_SIZE, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * HEAD_SIZE, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * HEAD_SIZE),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    for layer in range(2):
        for seed, (name, shape) in enumerate(shapes.items()):
            tensors[f"model.layers.{layer}.{name}.weight"] = values(*shape, 10 * layer + seed)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = values(1, HIDDEN, layer)[0]
    return tensors


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    for theirs, ours in GGUF_NAMES.items():
        name = name.replace(theirs, ours)
    return name


class GgufFile:
    """A Llama in GGUF: change what a test is about, then write."""

    def __init__(self, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.Q8_0) -> None:
        self.kind = kind
        self.architecture, self.heads = "llama", HEADS
        self.tensors = original()
        self.tokens, self.kinds, self.merges = list(TOKENS), list(KINDS), ["a b", "1 2"]
        self.model, self.split = "gpt2", "smollm"
        self.extra: dict[str, Any] = {}

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(path, self.architecture)
        writer.add_context_length(512)
        writer.add_embedding_length(HIDDEN)
        writer.add_block_count(2)
        writer.add_feed_forward_length(INNER)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(KV_HEADS)
        writer.add_rope_freq_base(50000.0)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.split)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.kinds)
        writer.add_token_merges(self.merges)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(0)
        writer.add_chat_template("{{ messages[0].content }}")
        for key, value in self.extra.items():
            kinds = {"bool": writer.add_bool, "int": writer.add_int32, "float": writer.add_float32}
            kinds.get(type(value).__name__, writer.add_string)(key, value)
        for name, tensor in self.tensors.items():
            self._add(writer, name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _add(self, writer: gguf.GGUFWriter, name: str, tensor: np.ndarray[Any, Any]) -> None:
        if "q_proj" in name:
            tensor = llama_cpp_order(tensor, HEADS)
        if "k_proj" in name:
            tensor = llama_cpp_order(tensor, KV_HEADS)
        if tensor.ndim == 1:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(tensor))
        else:
            data = gguf.quants.quantize(np.ascontiguousarray(tensor), self.kind)
            writer.add_tensor(gguf_name(name), data, raw_dtype=self.kind)


def converted(tmp_path: Path, file: GgufFile, name: str = "out") -> Path:
    out = tmp_path / name
    out.mkdir()
    convert(file.write(tmp_path / f"{name}.gguf"), "m.gguf", out, Progress())
    return out


def refusal(tmp_path: Path, file: GgufFile) -> StoreError:
    with pytest.raises(StoreError) as caught:
        converted(tmp_path, file)
    return caught.value


def changed(**values: Any) -> GgufFile:
    file = GgufFile()
    for name, value in values.items():
        setattr(file, name, value)
    return file
