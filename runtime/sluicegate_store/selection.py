"""Which files of a source make the model, decided from names alone, before a byte is fetched.

Taken are the files that a server reads: weights, configuration, tokenizer, chat template. Anything else at
the top level (README, LICENSE, *.py, other frameworks' weights) and every sub-folder is left behind and is no
part of the model's identity; Python files are thus never executed. Pickles beside the weights are refused,
not skipped: a loader that falls back to them runs their code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.source import SourceFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MODELOPT = "hf_quant_config.json"
TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "tokenizer.model.v3",
        "tokenizer.model.v7",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tekken.json",
        "tiktoken.model",
        "qwen.tiktoken",
        "chat_template.jinja",
        "chat_template.json",
    }
)
METADATA_FILES = TOKENIZER_FILES | {
    CONFIG,
    INDEX,
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    MODELOPT,
    "quant_config.json",
    "quantize_config.json",
}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
FOREIGN = (".h5", ".msgpack", ".onnx", ".ot", ".npz", ".tflite", ".pdparams")


@dataclass(frozen=True)
class Selection:
    """The files to take: `metadata` is small and read first; for GGUF it is empty, `weights` one file."""

    format: Literal["safetensors", "gguf"]
    metadata: tuple[SourceFile, ...]
    weights: tuple[SourceFile, ...]

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.metadata + self.weights)


def select(files: Iterable[SourceFile]) -> Selection:
    """The model among a source's files. Raises UnsafeFormat, UnsupportedFormat, Checkpoint…, Config…."""
    found = sorted(files)
    _refuse_pickles(found)
    gguf = [file for file in found if file.name.lower().endswith(".gguf")]
    weights = tuple(file for file in found if file.name.endswith(".safetensors"))
    if gguf:
        return _select_gguf(gguf, weights)
    metadata = tuple(file for file in found if file.name in METADATA_FILES)
    names = {file.name for file in metadata}
    if not weights and INDEX not in names:
        raise _no_weights(found)
    if CONFIG not in names:
        raise StoreError(Reason.CONFIG_INVALID, f"the source has no {CONFIG}; add the model's configuration")
    return Selection("safetensors", metadata, weights)


def _refuse_pickles(files: list[SourceFile]) -> None:
    for file in files:
        if file.name.lower().endswith(PICKLES):
            raise StoreError(
                Reason.UNSAFE_FORMAT,
                f"{shorten(file.name)} is a pickle, which runs code when loaded; "
                "remove it and keep the weights as safetensors only",
            )


def _select_gguf(gguf: list[SourceFile], weights: tuple[SourceFile, ...]) -> Selection:
    if weights:
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT,
            f"both {shorten(weights[0].name)} and {shorten(gguf[0].name)} are weights; keep one format",
        )
    if len(gguf) > 1:
        raise StoreError(
            Reason.UNSUPPORTED_FORMAT,
            f"{len(gguf)} GGUF files ({shorten(gguf[0].name)}, {shorten(gguf[1].name)}, …): a split or a "
            "choice; keep one whole file, or name it in a pvc:// path",
        )
    return Selection("gguf", (), tuple(gguf))


def _no_weights(files: list[SourceFile]) -> StoreError:
    for file in files:
        if file.name.lower().endswith(FOREIGN):
            return StoreError(
                Reason.UNSUPPORTED_FORMAT,
                f"the only weights are {shorten(file.name)}; supported are safetensors and GGUF",
            )
    return StoreError(
        Reason.CHECKPOINT_INCOMPLETE,
        f"no *.safetensors or *.gguf among the source's {len(files)} top-level files; point the source "
        "at the model's folder",
    )
