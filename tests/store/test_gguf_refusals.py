"""GGUF files that cannot be converted rightly, and so are not."""

from __future__ import annotations

from typing import Any

import gguf
import pytest
from tests.store.gguf_file import (
    HEAD_SIZE,
    HIDDEN,
    INNER,
    VOCABULARY,
    GgufFile,
    changed,
    converted,
    refusal,
    values,
)

from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.gguf_convert import convert
from sluicegate_store.progress import Progress


def without(name: str) -> GgufFile:
    file = GgufFile()
    del file.tensors[name]
    return file


def with_tensor(name: str, rows: int = 4, columns: int = 32) -> GgufFile:
    file = GgufFile()
    file.tensors[name] = values(rows, columns, 1)
    return file


REFUSED = {
    "another architecture": (lambda: changed(architecture="qwen2"), Reason.UNSUPPORTED_FORMAT, "qwen2"),
    "experts": (
        lambda: changed(extra={"llama.expert_count": 8}),
        Reason.UNSUPPORTED_FORMAT,
        "expert_count is 8",
    ),
    "a split file": (
        lambda: changed(extra={"split.count": 3}),
        Reason.UNSUPPORTED_FORMAT,
        "split.count is 3",
    ),
    "rope scaling": (
        lambda: changed(extra={"llama.rope.scaling.type": "yarn"}),
        Reason.UNSUPPORTED_FORMAT,
        "yarn",
    ),
    "rope scaling without a type": (
        lambda: changed(extra={"llama.rope.scaling.factor": 8.0}),
        Reason.UNSUPPORTED_FORMAT,
        "scaling.factor is 8",
    ),
    "rope scaling by its old name": (
        lambda: changed(extra={"llama.rope.scale_linear": 2.0}),
        Reason.UNSUPPORTED_FORMAT,
        "scale_linear is 2",
    ),
    "rope of a part of a head": (
        lambda: changed(extra={"llama.rope.dimension_count": 8}),
        Reason.UNSUPPORTED_FORMAT,
        "dimension_count is 8",
    ),
    "values of another size than keys": (
        lambda: changed(extra={"llama.attention.value_length": 8}),
        Reason.UNSUPPORTED_FORMAT,
        "value_length is 8",
    ),
    "an end token on every text": (
        lambda: changed(extra={"tokenizer.ggml.add_eos_token": True}),
        Reason.UNSUPPORTED_FORMAT,
        "end token",
    ),
    "a matrix of another shape": (
        lambda: with_tensor("model.layers.0.mlp.up_proj.weight", INNER + 32, HIDDEN),
        Reason.CHECKPOINT_CORRUPT,
        "ffn_up",
    ),
    "an embedding of another width": (
        lambda: with_tensor("model.embed_tokens.weight", VOCABULARY, HIDDEN + 32),
        Reason.CHECKPOINT_CORRUPT,
        "token_embd",
    ),
    "an output of other tokens": (
        lambda: with_tensor("lm_head.weight", VOCABULARY + 1, HIDDEN),
        Reason.CHECKPOINT_CORRUPT,
        "the same tokens",
    ),
    "rope factors": (lambda: with_tensor("rope_freqs.weight"), Reason.UNSUPPORTED_FORMAT, "rope_freqs"),
    "a layer too many": (lambda: with_tensor("blk.2.attn_q.weight"), Reason.UNSUPPORTED_FORMAT, "blk.2"),
    "another tokenizer": (lambda: changed(model="llama"), Reason.UNSUPPORTED_FORMAT, "'llama'"),
    "an unknown split": (lambda: changed(split="tekken"), Reason.UNSUPPORTED_FORMAT, "'tekken'"),
    "a missing tensor": (
        lambda: without("model.layers.0.mlp.up_proj.weight"),
        Reason.CHECKPOINT_INCOMPLETE,
        "mlp.up_proj",
    ),
    "no embedding": (
        lambda: without("model.embed_tokens.weight"),
        Reason.CHECKPOINT_INCOMPLETE,
        "embed_tokens",
    ),
    "a token twice": (lambda: changed(tokens=["a"] * 12), Reason.CHECKPOINT_CORRUPT, "twice"),
    "untyped tokens": (lambda: changed(kinds=[1]), Reason.CHECKPOINT_CORRUPT, "types"),
    "a merge of one": (lambda: changed(merges=["ab"]), Reason.CHECKPOINT_CORRUPT, "'ab'"),
    "a special token out of range": (
        lambda: changed(extra={"tokenizer.ggml.padding_token_id": 99}),
        Reason.CHECKPOINT_CORRUPT,
        "99",
    ),
    "heads that do not divide": (lambda: changed(heads=5), Reason.CHECKPOINT_CORRUPT, "attn_q"),
    "a negative number": (
        lambda: changed(extra={"llama.expert_count": -1}),
        Reason.CHECKPOINT_CORRUPT,
        "expert_count is negative",
    ),
    "a flag that is a word": (
        lambda: changed(extra={"tokenizer.ggml.add_bos_token": "yes"}),
        Reason.CHECKPOINT_CORRUPT,
        "add_bos_token",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_rightly_is_refused(tmp_path, case):
    build, reason, words = REFUSED[case]

    error = refusal(tmp_path, build())

    assert error.reason == reason
    assert words in error.message


@pytest.mark.parametrize(
    "extra",
    [
        {"llama.rope.scaling.factor": 1.0},
        {"llama.rope.scale_linear": 0.0},
        {"llama.rope.dimension_count": HEAD_SIZE, "llama.attention.value_length": HEAD_SIZE},
        {"tokenizer.ggml.add_eos_token": False},
    ],
)
def test_metadata_that_says_the_usual_changes_nothing(tmp_path, extra):
    said, silent = converted(tmp_path, changed(extra=extra), "said"), converted(tmp_path, GgufFile())

    for path in silent.iterdir():
        assert (said / path.name).read_bytes() == path.read_bytes()


def test_a_quantisation_that_cannot_be_undone_is_refused(tmp_path, monkeypatch):
    def unknown(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(gguf, "dequantize", unknown)
    error = refusal(tmp_path, GgufFile())

    assert error.reason == Reason.UNSUPPORTED_FORMAT
    assert "Q8_0" in error.message


def test_a_gguf_file_cut_anywhere_is_corrupt_and_never_a_crash(tmp_path):
    whole = GgufFile().write(tmp_path / "whole.gguf").read_bytes()
    for number, length in enumerate([0, 3, 4, 8, 23, 24, 100, 1000, len(whole) // 2, len(whole) - 1]):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        out = tmp_path / str(number)
        out.mkdir()

        with pytest.raises(StoreError) as caught:
            convert(tmp_path / "cut.gguf", "cut.gguf", out, Progress())
        assert caught.value.reason == Reason.CHECKPOINT_CORRUPT, length
