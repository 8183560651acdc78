"""The tokenizer inside a GGUF file, written as tokenizer.json and tokenizer_config.json.

GGUF names the way text is split before merging only by a word (`tokenizer.ggml.pre`); known here are the
words whose split is known exactly.
"""

from __future__ import annotations

from typing import Any

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.gguf_metadata import GgufMetadata

_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5
_KEY = "tokenizer.ggml"
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _digits_then_bytes() -> list[dict[str, Any]]:
    return [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)]


def _pattern_then_bytes(digits: str) -> list[dict[str, Any]]:
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [split, _byte_level(use_regex=False)]


_SPLITS = {
    "gpt-2": [_byte_level(use_regex=True)],
    "smollm": _digits_then_bytes(),
    "starcoder": _digits_then_bytes(),
    "llama-bpe": _pattern_then_bytes(r"\p{N}{1,3}"),
    "qwen2": _pattern_then_bytes(r"\p{N}"),
}
# these take a whole word from the vocabulary where it is there, without merging up to it
_IGNORE_MERGES = frozenset({"llama-bpe"})
# these begin every text with the start token unless the file says otherwise
_START_BY_DEFAULT = frozenset({"llama-bpe"})


def tokenizer_json(metadata: GgufMetadata) -> dict[str, Any]:
    """A byte-level BPE tokenizer as the `tokenizers` library reads it. UnsupportedFormat for other kinds."""
    kind, split = metadata.text(f"{_KEY}.model"), metadata.text(f"{_KEY}.pre", "default")
    if kind != "gpt2" or split not in _SPLITS:
        raise StoreError(
            Reason.UNSUPPORTED_FORMAT,
            f"the GGUF file's tokenizer is {shorten(kind)!r} with split {shorten(split)!r}; supported is "
            f"'gpt2' with {', '.join(sorted(_SPLITS))}; use the safetensors release",
        )
    steps = _SPLITS[split]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(metadata),
        "normalizer": None,
        "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
        "post_processor": _post_processor(metadata, split in _START_BY_DEFAULT),
        "decoder": {**_byte_level(use_regex=True), "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": split in _IGNORE_MERGES,
            "vocab": _vocabulary(metadata),
            "merges": [_pair(merge) for merge in metadata.strings(f"{_KEY}.merges")],
        },
    }


def tokenizer_config(metadata: GgufMetadata, context_length: int) -> dict[str, Any]:
    """Special tokens, length, chat template; of the generic class, which keeps the split that is written."""
    tokens = metadata.strings(f"{_KEY}.tokens")
    config: dict[str, Any] = {
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in _added_tokens(metadata)
        },
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for role, word in _SPECIAL.items():
        identifier = metadata.optional_integer(f"{_KEY}.{word}_token_id")
        if identifier is not None:
            config[role] = _token(tokens, identifier)
    if "tokenizer.chat_template" in metadata:
        config["chat_template"] = metadata.text("tokenizer.chat_template")
    return config


def generation_config(metadata: GgufMetadata) -> dict[str, Any]:
    """Where generation starts, pads and ends; a chat's end-of-turn token ends it too."""
    ends = [metadata.optional_integer(f"{_KEY}.{word}_token_id") for word in ("eos", "eot")]
    unique = list(dict.fromkeys(end for end in ends if end is not None))
    found = {
        "bos_token_id": metadata.optional_integer(f"{_KEY}.bos_token_id"),
        "eos_token_id": unique[0] if len(unique) == 1 else unique or None,
        "pad_token_id": metadata.optional_integer(f"{_KEY}.padding_token_id"),
    }
    return {"_from_model_config": True, **{key: value for key, value in found.items() if value is not None}}


def _vocabulary(metadata: GgufMetadata) -> dict[str, int]:
    tokens, kinds = metadata.strings(f"{_KEY}.tokens"), _kinds(metadata)
    vocabulary = {
        token: i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind != _UNUSED
    }
    if len(vocabulary) != len(tokens) - kinds.count(_UNUSED):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, "the GGUF file's vocabulary has a token twice; export it again"
        )
    return vocabulary


def _kinds(metadata: GgufMetadata) -> list[int]:
    kinds = metadata.integers(f"{_KEY}.token_type")
    if len(kinds) != len(metadata.strings(f"{_KEY}.tokens")):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, "the GGUF file types not each token once; export it again"
        )
    return kinds


def _added_tokens(metadata: GgufMetadata) -> list[dict[str, Any]]:
    tokens = metadata.strings(f"{_KEY}.tokens")
    return [
        {
            "id": i,
            "content": tokens[i],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind != _USER_DEFINED,
        }
        for i, kind in enumerate(_kinds(metadata))
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]


def _post_processor(metadata: GgufMetadata, start: bool) -> dict[str, Any]:
    if metadata.flag(f"{_KEY}.add_eos_token", False):
        raise StoreError(
            Reason.UNSUPPORTED_FORMAT,
            "this GGUF file ends each text with its end token, which is not converted; use the safetensors "
            "release",
        )
    if not metadata.flag(f"{_KEY}.add_bos_token", start):
        return _byte_level(use_regex=True)
    identifier = metadata.integer(f"{_KEY}.bos_token_id")
    bos = _token(metadata.strings(f"{_KEY}.tokens"), identifier)
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            first,
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": bos, "type_id": 1}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {bos: {"id": bos, "ids": [identifier], "tokens": [bos]}},
    }


def _token(tokens: list[str], identifier: int) -> str:
    if identifier >= len(tokens):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT,
            f"the GGUF file names token {identifier} of {len(tokens)}; export it again",
        )
    return tokens[identifier]


def _pair(merge: str) -> list[str]:
    left, separator, right = merge.partition(" ")
    if not (left and separator and right):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, f"the GGUF file's merge {shorten(merge)!r} is no pair; export it again"
        )
    return [left, right]
