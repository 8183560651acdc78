"""Bad checkpoints: each is one change away from a sound one, and each has its reason."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.store.builders import FIRST, SECOND, Array, Model, a_model, a_sharded_model, mounts

from sluicegate_store.directory import DirectorySource
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.ingest import open_source
from sluicegate_store.inspection import Inspection, inspect
from sluicegate_store.progress import Progress
from sluicegate_store.uri import ClaimUri


def look(tmp_path: Path, uri: str = "pvc://claim/m", expected: str | None = None) -> Inspection:
    source = open_source(uri, None, mounts(tmp_path))
    return inspect(source, uri, expected, tmp_path, Progress())


def refusal(tmp_path: Path, uri: str = "pvc://claim/m", expected: str | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        look(tmp_path, uri, expected)
    return caught.value


def place(tmp_path: Path, model: Model) -> Path:
    return model.write(tmp_path / "claim" / "m")


@contextmanager
def as_an_ordinary_user(reachable: Path) -> Iterator[None]:
    """Without root's right to read everything, which a container does not have either."""
    was = os.geteuid()
    if was != 0:
        yield
        return
    closed = {f: f.stat().st_mode for f in (reachable, *reachable.parents) if not f.stat().st_mode & 0o001}
    for folder, mode in closed.items():
        folder.chmod(mode | 0o001)
    os.seteuid(65532)
    try:
        yield
    finally:
        os.seteuid(was)
        for folder, mode in closed.items():
            folder.chmod(mode)


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


def test_a_link_within_the_source_is_followed(tmp_path):
    folder = place(tmp_path, a_model())
    plain = look(tmp_path).manifest
    (folder / "blob").mkdir()
    (folder / "model.safetensors").rename(folder / "blob" / "x")
    (folder / "model.safetensors").symlink_to("blob/x")

    assert look(tmp_path).manifest == plain


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md", "folder"])
def test_a_link_that_leaves_the_source_is_unsafe(tmp_path, name):
    folder = place(tmp_path, a_model())
    outside = tmp_path / "claim" / "secret"
    shutil.copytree(folder, outside)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / name if (outside / name).exists() else outside)

    error = refusal(tmp_path)
    assert error.reason == Reason.UNSAFE_PATH
    assert name in error.message


@pytest.mark.parametrize("swap", ["link", "fifo", "nothing"])
def test_a_file_that_is_swapped_after_it_was_listed_is_not_read(tmp_path, swap):
    folder = place(tmp_path, a_model())
    (tmp_path / "secret").write_bytes(b"secret")
    source = DirectorySource(ClaimUri("claim", "m"), tmp_path)
    (file,) = (file for file in source.files() if file.name == "config.json")
    (folder / "config.json").unlink()
    if swap == "link":
        (folder / "config.json").symlink_to(tmp_path / "secret")
    if swap == "fifo":
        os.mkfifo(folder / "config.json")

    with pytest.raises(StoreError) as caught:
        source.fetch(file, tmp_path / "copy", Progress())
    assert caught.value.reason == (Reason.CHECKPOINT_INCOMPLETE if swap == "nothing" else Reason.UNSAFE_PATH)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_may_not_be_read_is_forbidden(tmp_path):
    folder = place(tmp_path, a_model())
    folder.joinpath("config.json").chmod(0)
    source = DirectorySource(ClaimUri("claim", "m"), tmp_path)
    (file,) = (file for file in source.files() if file.name == "config.json")
    with as_an_ordinary_user(tmp_path), pytest.raises(StoreError) as caught:
        source.fetch(file, tmp_path / "copy", Progress())
    assert caught.value.reason == Reason.SOURCE_FORBIDDEN


def test_a_source_that_is_a_link_out_of_its_claim_is_unsafe(tmp_path):
    a_model().write(tmp_path / "other" / "m")
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "m").symlink_to(tmp_path / "other" / "m")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


def test_a_dangling_link_is_an_incomplete_checkpoint(tmp_path):
    folder = place(tmp_path, a_model())
    (folder / "tokenizer.model").symlink_to("gone")

    assert refusal(tmp_path).reason == Reason.CHECKPOINT_INCOMPLETE


@pytest.mark.parametrize("name", [b"model\x07.safetensors", b"read\nme", b"\xff.json"])
def test_a_file_name_that_cannot_be_printed_is_unsafe(tmp_path, name):
    folder = place(tmp_path, a_model())
    (folder / os.fsdecode(name)).write_bytes(b"")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_a_special_file_is_unsafe_and_blocks_nothing(tmp_path, kind, monkeypatch):
    folder = place(tmp_path, a_model())
    monkeypatch.chdir(folder)
    if kind == "fifo":
        os.mkfifo("tokenizer.model")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("tokenizer.model")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


def test_a_folder_that_may_not_be_read_is_forbidden(tmp_path):
    folder = place(tmp_path, a_model())
    folder.chmod(0)
    with as_an_ordinary_user(tmp_path):
        error = refusal(tmp_path)
    folder.chmod(0o755)

    assert error.reason == Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({"quant_method": "gptq"}, "GPTQ"),
        ({"quant_method": "awq"}, "AWQ"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "compressed-tensors"}, "COMPRESSED_TENSORS"),
        ({"quant_method": "bitsandbytes"}, "BITSANDBYTES"),
        (None, "None"),
    ],
)
def test_the_quantization_is_the_configs(tmp_path, settings, want):
    place(tmp_path, a_model().config(quantization_config=settings))

    assert look(tmp_path).facts["quantization"] == want


@pytest.mark.parametrize(
    ("said", "in_config", "want"),
    [
        ({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}, None, "MODELOPT"),
        ({"quantization": {"quant_algo": "NVFP4"}}, {"quant_method": "fp8"}, "FP8"),
        ({"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}, None, "None"),
    ],
)
def test_the_quantization_is_modelopts_where_the_config_is_silent(tmp_path, said, in_config, want):
    model = a_model().config(quantization_config=in_config)
    place(tmp_path, model.put(hf_quant_config__json=json.dumps(said).encode()))

    assert look(tmp_path).facts["quantization"] == want


def test_a_quantization_of_modelopt_that_is_no_json_is_refused(tmp_path):
    place(tmp_path, a_model().put(hf_quant_config__json=b"{"))

    assert refusal(tmp_path).reason == Reason.CONFIG_INVALID


def test_facts_of_a_nested_or_silent_config(tmp_path):
    nested = {"architectures": ["X"], "text_config": {"vocab_size": 7, "torch_dtype": "float16"}}
    folder = place(tmp_path, a_model().put(config__json=json.dumps(nested).encode()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()

    facts = look(tmp_path).facts

    assert (facts["vocabularySize"], facts["dtype"]) == (7, "float16")
    assert (facts["contextLength"], facts["attentionHeads"], facts["tokenizerDigest"]) == (None, None, None)


def test_without_a_dtype_in_the_config_that_of_most_values_counts(tmp_path):
    place(tmp_path, a_model().config(dtype=None))

    assert look(tmp_path).facts["dtype"] == "bfloat16"


def test_the_tokenizers_digest_follows_the_tokenizer_and_not_the_weights(tmp_path):
    a_model(1).write(tmp_path / "claim" / "one")
    a_model(2).write(tmp_path / "claim" / "two")
    a_model(1).put(tokenizer__json=b"other").write(tmp_path / "claim" / "three")

    one, two, three = (
        look(tmp_path, f"pvc://claim/{n}").facts["tokenizerDigest"] for n in ("one", "two", "three")
    )
    assert one == two != three
