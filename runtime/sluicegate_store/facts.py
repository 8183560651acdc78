"""What an operator must know of a model to place and start it, from config.json and the tensor headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from sluicegate_store.checkpoint import Outline, Weights
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.manifest import FileEntry, Manifest
from sluicegate_store.selection import TOKENIZER_FILES

_TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_TEXT_SECTIONS = ("text_config", "llm_config", "language_config")
_LIMIT = 100
_FACTOR_LIMIT = 1024


class Facts(TypedDict):
    """Wire form. Numbers that a configuration does not give are null."""

    architecture: str
    dtype: str
    quantization: str
    parameters: int
    contextLength: int | None
    attentionHeads: int | None
    vocabularySize: int | None
    tokenizerDigest: str | None


def read_facts(outline: Outline, weights: Weights, files: Iterable[FileEntry]) -> Facts:
    """The facts of a checked model. `parameters` counts stored values: packed 4-bit weights count packed."""
    config = outline.config
    return {
        "architecture": config["architectures"][0],
        "dtype": _dtype(config, weights.elements),
        "quantization": _quantization(outline),
        "parameters": sum(weights.elements.values()),
        "contextLength": _context_length(config),
        "attentionHeads": _number(config, "num_attention_heads", "n_head", "n_heads"),
        "vocabularySize": _number(config, "vocab_size"),
        "tokenizerDigest": _tokenizer_digest(files),
    }


def _sections(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The configuration itself, then the language model's part of a multi-modal one."""
    nested = (config.get(name) for name in _TEXT_SECTIONS)
    return [config, *(section for section in nested if isinstance(section, dict))]


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    for section in _sections(config):
        for name in names:
            value = section.get(name)
            if type(value) is int and 0 <= value < 1 << 53:
                return value
    return None


def _context_length(config: Mapping[str, Any]) -> int | None:
    """Positions that the model was made for: what it was trained on, times what its rope is stretched by."""
    trained = _number(config, "max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    # Gemma 3, and the other ways to scale a rope, write the stretched length
    if trained is None or "gemma3" in str(config.get("model_type")):
        return trained
    for section in _sections(config):
        match section.get("rope_scaling") or section.get("rope_parameters"):
            case {"rope_type": "linear" | "dynamic", "factor": int() | float() as factor} | {
                "type": "linear" | "dynamic",
                "factor": int() | float() as factor,
            } if 1 <= factor < _FACTOR_LIMIT:
                return int(trained * factor)
    return trained


def _dtype(config: Mapping[str, Any], elements: Mapping[str, int]) -> str:
    for section in _sections(config):
        for name in ("dtype", "torch_dtype"):
            value = section.get(name)
            if isinstance(value, str) and value.isascii() and len(value) <= _LIMIT:
                return value.removeprefix("torch.")
    most = max(elements, key=lambda dtype: elements[dtype])
    return _TORCH_NAMES.get(most, most.lower())


def _quantization(outline: Outline) -> str:
    for section in _sections(outline.config):
        settings = section.get("quantization_config")
        if settings is None:
            continue
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        if not (isinstance(method, str) and method.isascii() and 0 < len(method) <= _LIMIT):
            raise StoreError(
                Reason.CONFIG_INVALID,
                "config.json's quantization_config names no quant_method; add the method",
            )
        return method.upper().replace("-", "_")
    return "MODELOPT" if _is_modelopt(outline.modelopt) else "None"


def _is_modelopt(settings: Mapping[str, Any]) -> bool:
    """Whether ModelOpt quantised the weights: older releases of it say so in a file of their own alone."""
    quantization = settings.get("quantization")
    return isinstance(quantization, dict) and quantization.get("quant_algo") is not None


def _tokenizer_digest(files: Iterable[FileEntry]) -> str | None:
    tokenizer = Manifest.of(entry for entry in files if entry.path in TOKENIZER_FILES)
    return tokenizer.digest if tokenizer.files else None
