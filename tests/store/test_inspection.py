"""Bad checkpoints: each is one change away from a sound one, and each has its reason."""

from __future__ import annotations

import shutil

import pytest
from tests.store.builders import FIRST, SECOND, Array, Model, a_model, a_sharded_model
from tests.store.inspecting import look, place, refusal

from sluicegate_store.errors import Reason


def test_a_sound_model_gives_its_digest_size_and_facts(tmp_path):
    place(tmp_path, a_model())

    body = look(tmp_path).body()

    assert body["digest"].startswith("sha256:")
    assert body["sizeBytes"] == sum(len(content) for content in a_model().files.values())
    assert (body["files"], body["format"]) == (5, "safetensors")
    assert body["facts"] | {"tokenizerDigest": ""} == {
        "architecture": "LlamaForCausalLM",
        "dtype": "bfloat16",
        "quantization": "None",
        "parameters": 17,
        "contextLength": 2048,
        "attentionHeads": 4,
        "vocabularySize": 320,
        "tokenizerDigest": "",
    }
    assert body["facts"]["tokenizerDigest"].startswith("sha256:")


def test_one_file_and_two_shards_are_both_sound(tmp_path):
    place(tmp_path, a_sharded_model())

    assert look(tmp_path).facts["parameters"] == 8


def test_files_that_no_server_reads_and_sub_folders_change_nothing(tmp_path):
    folder = place(tmp_path, a_model())
    before = look(tmp_path).manifest

    a_model().put(README__md=b"x", modeling_x__py=b"boom", flax_model__msgpack=b"x").write(folder)
    (folder / ".gitattributes").write_bytes(b"x")
    a_model().put(pytorch_model__bin=b"x").write(folder / "original")

    assert look(tmp_path).manifest == before


def test_the_digest_does_not_depend_on_where_the_files_lie(tmp_path):
    place(tmp_path, a_model())
    a_model().write(tmp_path / "other" / "place")

    assert look(tmp_path).manifest.digest == look(tmp_path, "pvc://other/place").manifest.digest


def test_inspection_in_place_needs_no_scratch_space(tmp_path, monkeypatch):
    place(tmp_path, a_model())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("asked for room"))

    assert look(tmp_path).manifest.files


def shards(model: Model, without: str = "", **change: bytes) -> Model:
    model.files.pop(without, None)
    return model.put(**change)


BROKEN = {
    "no weights": (
        lambda: shards(a_model(), "model.safetensors"),
        Reason.CHECKPOINT_INCOMPLETE,
        "no *.safetensors",
    ),
    "a missing shard": (lambda: shards(a_sharded_model(), SECOND), Reason.CHECKPOINT_INCOMPLETE, SECOND),
    "all shards missing": (
        lambda: shards(shards(a_sharded_model(), SECOND), FIRST),
        Reason.CHECKPOINT_INCOMPLETE,
        "2 of 2",
    ),
    "shards without an index": (
        lambda: shards(a_sharded_model(), "model.safetensors.index.json"),
        Reason.CHECKPOINT_INCOMPLETE,
        "no model.safetensors.index.json",
    ),
    "an index that puts a tensor elsewhere": (
        lambda: a_sharded_model({"a": SECOND, "b": FIRST}),
        Reason.CHECKPOINT_INCOMPLETE,
        "'a'",
    ),
    "a tensor that the index does not list": (
        lambda: a_sharded_model().weights({"b": Array("U8", (1,)), "c": Array("U8", (1,))}, SECOND),
        Reason.CHECKPOINT_CORRUPT,
        "'c'",
    ),
    "a tensor in two files": (
        lambda: a_sharded_model().weights({"a": Array("U8", (1,)), "b": Array("U8", (1,))}, SECOND),
        Reason.CHECKPOINT_CORRUPT,
        FIRST,
    ),
    "an unlisted weight file": (
        lambda: a_sharded_model().weights({"z": Array("U8", (1,))}, "extra.safetensors"),
        Reason.CHECKPOINT_CORRUPT,
        "extra.safetensors is a weight file that",
    ),
    "safetensors and GGUF": (
        lambda: a_model().put(m__gguf=b"GGUF"),
        Reason.CHECKPOINT_CORRUPT,
        "m.gguf",
    ),
    "a truncated file": (
        lambda: a_model().put(model__safetensors=a_model().files["model.safetensors"][:-1]),
        Reason.CHECKPOINT_CORRUPT,
        "truncated",
    ),
    "no tensor at all": (lambda: a_model().weights({}), Reason.CHECKPOINT_CORRUPT, "no tensor"),
    "an index without a map": (
        lambda: shards(a_sharded_model(), model__safetensors__index__json=b"{}"),
        Reason.CHECKPOINT_CORRUPT,
        "weight_map",
    ),
    "an index that is not JSON": (
        lambda: shards(a_sharded_model(), model__safetensors__index__json=b"{"),
        Reason.CHECKPOINT_CORRUPT,
        "not JSON",
    ),
    "an index that points outside": (
        lambda: a_sharded_model({"a": "../secret.safetensors", "b": SECOND}),
        Reason.UNSAFE_PATH,
        "../secret",
    ),
    "NaN": (
        lambda: a_model().weights({"model.layers.0.q": Array("BF16", (2,), b"\x00\x00\xc0\x7f")}),
        Reason.NON_FINITE_WEIGHTS,
        "'model.layers.0.q'",
    ),
    "no config": (lambda: shards(a_model(), "config.json"), Reason.CONFIG_INVALID, "config.json"),
    "a config that is not JSON": (lambda: a_model().put(config__json=b"{,"), Reason.CONFIG_INVALID, "line 1"),
    "a config that is not UTF-8": (
        lambda: a_model().put(config__json=b"\xff{}"),
        Reason.CONFIG_INVALID,
        "not JSON",
    ),
    "a config nested too deep": (
        lambda: a_model().put(config__json=b"[" * 100_000),
        Reason.CONFIG_INVALID,
        "nesting",
    ),
    "a config that is a list": (lambda: a_model().put(config__json=b"[]"), Reason.CONFIG_INVALID, "object"),
    "no architectures": (lambda: a_model().config(architectures=[]), Reason.CONFIG_INVALID, "architectures"),
    "an architecture that is no name": (
        lambda: a_model().config(architectures=["x" * 101]),
        Reason.CONFIG_INVALID,
        "architectures",
    ),
    "a quantization without a method": (
        lambda: a_model().config(quantization_config={"bits": 4}),
        Reason.CONFIG_INVALID,
        "quant_method",
    ),
    "a pickle beside the weights": (
        lambda: a_model().put(pytorch_model__bin=b"x"),
        Reason.UNSAFE_FORMAT,
        "pytorch_model.bin",
    ),
    "other weights only": (
        lambda: shards(a_model(), "model.safetensors", flax_model__msgpack=b"x"),
        Reason.UNSUPPORTED_FORMAT,
        "flax_model.msgpack",
    ),
    "two GGUF files": (
        lambda: Model().put(a__gguf=b"GGUF", b__gguf=b"GGUF"),
        Reason.UNSUPPORTED_FORMAT,
        "2 GGUF files",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_checkpoint_is_refused_with_its_reason(tmp_path, case):
    build, reason, words = BROKEN[case]
    place(tmp_path, build())

    error = refusal(tmp_path)

    assert error.reason == reason
    assert words in error.message
    assert str(tmp_path) not in error.message
    assert not error.retryable


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth", "pkl", "pickle", "ckpt", "PT"])
def test_a_pickle_as_the_only_weight_file_is_unsafe(tmp_path, suffix):
    place(tmp_path, shards(a_model(), "model.safetensors", **{f"consolidated__{suffix}": b"x"}))

    assert refusal(tmp_path).reason == Reason.UNSAFE_FORMAT


def test_another_digest_than_expected_names_both(tmp_path):
    place(tmp_path, a_model())
    found, expected = look(tmp_path).manifest.digest, f"sha256:{'0' * 64}"

    error = refusal(tmp_path, expected=expected)

    assert error.reason == Reason.DIGEST_MISMATCH
    assert found in error.message
    assert expected in error.message
    assert look(tmp_path, expected=found).manifest.digest == found


@pytest.mark.parametrize("uri", ["pvc://claim/none", "pvc://none/m", "pvc://claim/m/none"])
def test_a_place_that_does_not_exist_is_not_found(tmp_path, uri):
    place(tmp_path, a_model())

    assert refusal(tmp_path, uri).reason == Reason.SOURCE_NOT_FOUND


def test_a_single_safetensors_file_is_no_model(tmp_path):
    place(tmp_path, a_model())

    error = refusal(tmp_path, "pvc://claim/m/model.safetensors")
    assert error.reason == Reason.UNSUPPORTED_FORMAT
