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
from tests.store.gguf_file import (
    HEAD_SIZE,
    HEADS,
    HIDDEN,
    INNER,
    KV_HEADS,
    TOKENS,
    VOCABULARY,
    GgufFile,
    converted,
    original,
    refusal,
    values,
)

from sluicegate_store import gguf_convert
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.gguf_convert import to_bfloat16
from sluicegate_store.ingest import ingest, open_source
from sluicegate_store.inspection import inspect
from sluicegate_store.layout import Store
from sluicegate_store.progress import Progress
from sluicegate_store.tensors import read_header

GOLDEN = "sha256:13a1ec6ecb05e96501c1fc9fbc62c0137351704bfce7301bb55175b7b635edee"


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
