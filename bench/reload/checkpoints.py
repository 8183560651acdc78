"""Two models of the same shape and random weights, as safetensors, with a tokenizer of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODELS = Path("/dev/shm/sluicegate-bench")
SEEDS = {"a": 1, "b": 2}
SHARDS = 4
_SPREAD = 0.02

EIGHT_BILLION: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5,
}
"""The shape of Llama 3 8B."""
TINY = EIGHT_BILLION | {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def write_checkpoints(directory: Path, shape: dict[str, Any]) -> dict[str, Path]:
    """Write the two models where they are not there yet. Returns their folders."""
    folders = {name: directory / f"{shape['hidden_size']}-{name}" for name in SEEDS}
    for name, folder in folders.items():
        if not folder.exists():
            _write_checkpoint(folder, shape, SEEDS[name])
    return folders


def _write_checkpoint(directory: Path, shape: dict[str, Any], seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator(device).manual_seed(seed)
    entries = list(_tensors(shape).items())
    files: dict[str, str] = {}
    for number in range(SHARDS):
        share = entries[len(entries) * number // SHARDS : len(entries) * (number + 1) // SHARDS]
        name = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        tensors = {}
        for tensor, size in share:
            values = torch.randn(size, generator=random, device=device, dtype=torch.bfloat16)
            # Norms scale what all else adds up to, and are about 1 in a trained model.
            tensors[tensor] = (values * _SPREAD + (1 if len(size) == 1 else 0)).cpu()
        save_file(tensors, directory / name, metadata={"format": "pt"})
        files |= dict.fromkeys(tensors, name)
    _write_json(directory / "model.safetensors.index.json", {"metadata": {}, "weight_map": files})
    _write_tokenizer(directory, shape["vocab_size"])
    architecture = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False, "hidden_act": "silu"}
    _write_json(directory / "config.json", {**architecture, **tokens, **shape})


def _tensors(shape: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    keys = hidden * shape["num_key_value_heads"] // shape["num_attention_heads"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape["vocab_size"], hidden)}
    for number in range(shape["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        found |= {
            f"{layer}.input_layernorm.weight": (hidden,),
            f"{layer}.post_attention_layernorm.weight": (hidden,),
            f"{layer}.self_attn.q_proj.weight": (hidden, hidden),
            f"{layer}.self_attn.k_proj.weight": (keys, hidden),
            f"{layer}.self_attn.v_proj.weight": (keys, hidden),
            f"{layer}.self_attn.o_proj.weight": (hidden, hidden),
            f"{layer}.mlp.gate_proj.weight": (inner, hidden),
            f"{layer}.mlp.up_proj.weight": (inner, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, inner),
        }
    return found | {"model.norm.weight": (hidden,), "lm_head.weight": (shape["vocab_size"], hidden)}


def _write_tokenizer(directory: Path, size: int) -> None:
    """Bytes, and a made-up word for every other number: whatever the model says can be spelt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    symbols = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    symbols += [f"<{number}>" for number in range(len(symbols), size)]
    tokenizer = Tokenizer(models.BPE(vocab={symbol: n for n, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(directory)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
