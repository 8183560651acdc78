"""The Llama architecture in GGUF terms and in transformers' terms: shape, configuration, tensor names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.gguf_metadata import GgufMetadata

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": ("input_layernorm", ("hidden",)),
    "attn_q": ("self_attn.q_proj", ("queries", "hidden")),
    "attn_k": ("self_attn.k_proj", ("keys", "hidden")),
    "attn_v": ("self_attn.v_proj", ("keys", "hidden")),
    "attn_output": ("self_attn.o_proj", ("hidden", "queries")),
    "ffn_norm": ("post_attention_layernorm", ("hidden",)),
    "ffn_gate": ("mlp.gate_proj", ("intermediate", "hidden")),
    "ffn_up": ("mlp.up_proj", ("intermediate", "hidden")),
    "ffn_down": ("mlp.down_proj", ("hidden", "intermediate")),
}
_LAYER_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.weight", re.ASCII)


@dataclass(frozen=True)
class LlamaShape:
    """Sizes that names and configuration depend on."""

    EMBEDDING: ClassVar[str] = _WHOLE["token_embd.weight"]
    OUTPUT: ClassVar[str] = _WHOLE["output.weight"]

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    context_length: int

    @classmethod
    def of(cls, metadata: GgufMetadata) -> LlamaShape:
        """Read from metadata. UnsupportedFormat for what plain Llama does not cover."""
        architecture = metadata.text("general.architecture")
        if architecture != "llama":
            raise _unsupported(f"its architecture is {shorten(architecture)!r}; supported is 'llama'")
        for key in ("llama.expert_count", "split.count"):
            if metadata.integer(key, 0) > 1:
                raise _unsupported(f"{key} is {metadata.integer(key)}; supported are whole, dense models")
        hidden, heads = (
            metadata.integer("llama.embedding_length"),
            metadata.integer("llama.attention.head_count"),
        )
        shape = cls(
            layers=metadata.integer("llama.block_count"),
            hidden=hidden,
            intermediate=metadata.integer("llama.feed_forward_length"),
            heads=heads,
            kv_heads=metadata.integer("llama.attention.head_count_kv", heads),
            head_size=metadata.integer("llama.attention.key_length", hidden // max(1, heads)),
            context_length=metadata.integer("llama.context_length"),
        )
        _require_plain_attention(metadata, shape.head_size)
        return shape

    @property
    def queries(self) -> int:
        """Rows of a query matrix."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Rows of a key matrix, and of a value matrix."""
        return self.kv_heads * self.head_size

    def require_all(self, names: Iterable[str]) -> None:
        """CheckpointIncomplete unless every tensor of the architecture is among the names."""
        wanted = {name for key, name in _WHOLE.items() if key != "output.weight"}
        wanted |= {
            f"model.layers.{i}.{part}.weight" for i in range(self.layers) for part, _ in _LAYER.values()
        }
        if missing := sorted(wanted - set(names)):
            raise StoreError(
                Reason.CHECKPOINT_INCOMPLETE,
                f"the GGUF file lacks {len(missing)} tensors, first {missing[0]}; export the model again",
            )


def _require_plain_attention(metadata: GgufMetadata, head_size: int) -> None:
    scaling = metadata.text("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise _unsupported(f"its rope scaling is {shorten(scaling)!r}; supported is none")
    for key in ("llama.rope.scaling.factor", "llama.rope.scale_linear"):
        if (factor := metadata.number(key, 1.0)) not in (0.0, 1.0):
            raise _unsupported(f"{key} is {factor:g}; supported is no rope scaling")
    for key in ("llama.rope.dimension_count", "llama.attention.value_length"):
        if (size := metadata.integer(key, head_size)) != head_size:
            raise _unsupported(f"{key} is {size}; supported is the size of a head, {head_size}")


@dataclass(frozen=True)
class LlamaTensor:
    """transformers' name of a tensor, its dimensions (None: any length), and how many heads' rotary rows it
    holds (0: none)."""

    name: str
    dimensions: tuple[int | None, ...]
    heads: int

    def fits(self, dimensions: tuple[int, ...]) -> bool:
        """Whether these are the dimensions that the architecture asks for."""
        wanted = self.dimensions
        return len(wanted) == len(dimensions) and all(
            want in (None, found) for want, found in zip(wanted, dimensions, strict=True)
        )


def llama_tensor(name: str, shape: LlamaShape) -> LlamaTensor:
    """What the GGUF tensor of this name is to transformers."""
    if name in _WHOLE:
        rows = () if name == "output_norm.weight" else (None,)
        return LlamaTensor(_WHOLE[name], (*rows, shape.hidden), 0)
    match = _LAYER_NAME.fullmatch(name)
    if match is None or match[2] not in _LAYER or int(match[1]) >= shape.layers:
        raise _unsupported(f"tensor {shorten(name)!r} is not part of a plain Llama model")
    part, sizes = _LAYER[match[2]]
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}.get(match[2], 0)
    dimensions = tuple(int(getattr(shape, size)) for size in sizes)
    return LlamaTensor(f"model.layers.{int(match[1])}.{part}.weight", dimensions, heads)


def llama_config(
    shape: LlamaShape, metadata: GgufMetadata, vocabulary: int, dtype: str, tied: bool
) -> dict[str, Any]:
    """config.json as transformers writes it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": metadata.optional_integer("tokenizer.ggml.bos_token_id"),
        "dtype": dtype,
        "eos_token_id": metadata.optional_integer("tokenizer.ggml.eos_token_id"),
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.context_length,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": metadata.optional_integer("tokenizer.ggml.padding_token_id"),
        "rms_norm_eps": metadata.number("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.number("llama.rope.freq_base", 10000.0),
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "vocab_size": vocabulary,
    }


def _unsupported(what: str) -> StoreError:
    return StoreError(
        Reason.UNSUPPORTED_FORMAT, f"this GGUF file cannot be converted: {what}; use the safetensors release"
    )
