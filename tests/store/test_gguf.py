"""A GGUF file becomes the safetensors folder that transformers would have written, byte for byte the same."""

from __future__ import annotations

import json
import shutil
from io import FileIO
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tests.store.builders import mounts
from tests.store.conftest import RunningHub

from sluicegate_store import gguf_convert
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.gguf_convert import convert, to_bfloat16
from sluicegate_store.ingest import ingest, open_source
from sluicegate_store.inspection import inspect
from sluicegate_store.layout import Store
from sluicegate_store.progress import Progress
from sluicegate_store.tensors import read_header

HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, INNER, VOCABULARY = 64, 4, 2, 16, 96, 12
TOKENS = ["<|end|>", "<|start|>", "<tool>", "a", "b", "ab", "Ġ", "1", "2", "12", "Ċ", "c"]
KINDS = [3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1]
GOLDEN = "sha256:13a1ec6ecb05e96501c1fc9fbc62c0137351704bfce7301bb55175b7b635edee"


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


def read_tensors(path: Path) -> dict[str, tuple[str, np.ndarray[Any, Any]]]:
    size = path.stat().st_size
    with FileIO(path) as stream:
        header = read_header(stream, size, path.name)
        body = stream.read()
    kinds = {"BF16": "<u2", "F16": "<f2", "F32": "<f4"}
    return {
        t.name: (t.dtype, np.frombuffer(body[t.begin : t.end], kinds[t.dtype]).reshape(t.shape))
        for t in header.tensors
    }


QUANTISATIONS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


@pytest.mark.parametrize("kind", QUANTISATIONS)
def test_every_tensor_has_transformers_name_order_and_the_dequantised_values(tmp_path, kind):
    kind = gguf.GGMLQuantizationType[kind]
    out = read_tensors(converted(tmp_path, GgufFile(kind)) / "model.safetensors")

    assert out.keys() == original().keys()
    for name, tensor in original().items():
        want = tensor
        if tensor.ndim == 2:
            want = gguf.quants.dequantize(gguf.quants.quantize(tensor, kind), kind)
        dtype, got = out[name]
        if dtype == "BF16":
            got = (got.astype(np.uint32) << 16).view(np.float32)
            want = (to_bfloat16(np.ascontiguousarray(want)).astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(got, want.astype(got.dtype), err_msg=name)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16"), ("Q4_1", "BF16")]
)
def test_the_dtype_is_the_files_own_where_it_is_not_quantised(tmp_path, kind, dtype):
    out = converted(tmp_path, GgufFile(gguf.GGMLQuantizationType[kind]))

    assert {found for found, _ in read_tensors(out / "model.safetensors").values()} == {dtype}
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    assert json.loads((out / "config.json").read_text())["dtype"] == names[dtype]


def test_reading_rows_in_small_pieces_changes_nothing(tmp_path, monkeypatch):
    at_once = converted(tmp_path, GgufFile(), "one")
    monkeypatch.setattr(gguf_convert, "ROWS_BYTES", 4 * HIDDEN * 5)
    in_pieces = converted(tmp_path, GgufFile(), "two")

    assert (at_once / "model.safetensors").read_bytes() == (in_pieces / "model.safetensors").read_bytes()


def test_bfloat16_is_rounded_to_nearest_even_and_keeps_what_is_not_finite():
    bits = np.array(
        [0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0xFFFFFFFF, 0x7F800001, 0xFF800000], np.uint32
    )

    want = [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x7FC0, 0x7FC0, 0xFF80]
    assert to_bfloat16(bits.view(np.float32)).tolist() == want


def test_the_configuration_is_that_of_the_metadata(tmp_path):
    config = json.loads((converted(tmp_path, GgufFile()) / "config.json").read_text())

    assert config == {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "dtype": "bfloat16",
        "eos_token_id": 0,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "max_position_embeddings": 512,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": HEADS,
        "num_hidden_layers": 2,
        "num_key_value_heads": KV_HEADS,
        "pad_token_id": None,
        "rms_norm_eps": 1e-05,
        "rope_theta": 50000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": VOCABULARY,
    }


def test_a_model_with_its_own_output_matrix_is_not_tied(tmp_path):
    file = GgufFile()
    file.tensors["lm_head.weight"] = values(VOCABULARY, HIDDEN, 9)

    out = converted(tmp_path, file)

    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    assert "lm_head.weight" in read_tensors(out / "model.safetensors")


def test_the_tokenizer_keeps_vocabulary_merges_special_tokens_and_template(tmp_path):
    out = converted(tmp_path, GgufFile())
    tokenizer = json.loads((out / "tokenizer.json").read_text())
    config = json.loads((out / "tokenizer_config.json").read_text())

    assert tokenizer["model"]["vocab"] == {token: i for i, token in enumerate(TOKENS)}
    assert tokenizer["model"]["merges"] == [["a", "b"], ["1", "2"]]
    assert [(t["content"], t["special"]) for t in tokenizer["added_tokens"]] == [
        ("<|end|>", True),
        ("<|start|>", True),
        ("<tool>", False),
    ]
    assert [step["type"] for step in tokenizer["pre_tokenizer"]["pretokenizers"]] == ["Digits", "ByteLevel"]
    assert (config["bos_token"], config["eos_token"]) == ("<|start|>", "<|end|>")
    assert config["chat_template"] == "{{ messages[0].content }}"
    assert config["model_max_length"] == 512
    assert json.loads((out / "generation_config.json").read_text()) == {
        "_from_model_config": True,
        "bos_token_id": 1,
        "eos_token_id": 0,
    }


@pytest.mark.parametrize(
    ("split", "extra", "starts"),
    [
        ("smollm", {}, False),
        ("smollm", {"tokenizer.ggml.add_bos_token": True}, True),
        ("llama-bpe", {}, True),
        ("llama-bpe", {"tokenizer.ggml.add_bos_token": False}, False),
    ],
)
def test_a_text_begins_with_the_start_token_where_the_file_says_so(tmp_path, split, extra, starts):
    file = GgufFile()
    file.split, file.extra = split, extra

    processor = json.loads((converted(tmp_path, file) / "tokenizer.json").read_text())["post_processor"]

    assert (processor["type"] == "TemplateProcessing") == starts
    if starts:
        assert processor["special_tokens"]["<|start|>"]["ids"] == [1]


def test_a_chats_end_of_turn_ends_generation_too(tmp_path):
    file = GgufFile()
    file.extra = {"tokenizer.ggml.eot_token_id": 2, "tokenizer.ggml.padding_token_id": 0}

    config = json.loads((converted(tmp_path, file) / "generation_config.json").read_text())

    assert (config["eos_token_id"], config["pad_token_id"]) == ([0, 2], 0)


def test_the_same_file_gives_the_same_digest_in_place_from_a_hub_and_in_the_store(tmp_path, hub: RunningHub):
    commit = "a" * 40
    GgufFile().write(tmp_path / "claim" / "m" / "x.gguf")
    shutil.copytree(tmp_path / "claim" / "m", hub.hub.root / "org" / "model" / commit)

    def digest(uri: str) -> str:
        source = open_source(uri, hub.endpoint, mounts(tmp_path))
        return inspect(source, uri, None, tmp_path, Progress()).manifest.digest

    uris = ["pvc://claim/m", "pvc://claim/m/x.gguf", f"hf://org/model@{commit}"]
    assert {digest(uri) for uri in uris} == {GOLDEN}
    for number, uri in enumerate(uris):
        store = Store(tmp_path / f"store-{number}")
        snapshot = ingest(store, uri, hub.endpoint, GOLDEN, mounts(tmp_path), Progress())
        assert len(list(snapshot.iterdir())) == 5
        assert not list((store.root / "incoming").iterdir())


def test_nan_in_a_gguf_file_is_found(tmp_path):
    file = GgufFile(gguf.GGMLQuantizationType.F32)
    file.tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = np.nan
    file.write(tmp_path / "claim" / "m" / "x.gguf")

    with pytest.raises(StoreError) as caught:
        inspect(open_source("pvc://claim/m", None, mounts(tmp_path)), "u", None, tmp_path, Progress())
    assert caught.value.reason == Reason.NON_FINITE_WEIGHTS
    assert "model.layers.1.mlp.up_proj.weight" in caught.value.message


def test_conversion_asks_for_room_before_it_writes_tensors(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    assert refusal(tmp_path, GgufFile()).reason == Reason.INSUFFICIENT_DISK


def changed(**values: Any) -> GgufFile:
    file = GgufFile()
    for name, value in values.items():
        setattr(file, name, value)
    return file


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
