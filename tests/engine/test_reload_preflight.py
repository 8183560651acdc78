"""What the files of two models say of whether one can take the other's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engine.models import CONFIG, SMALL_FILES, TENSOR, safetensors, write_model

from sluicegate_engine.reload.preflight import compare
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.reload.snapshot import INDEX, Tensor, read_snapshot

TOKENIZER = SMALL_FILES["tokenizer.json"]
OTHER = {"other": TENSOR}


def refusal(serving: Path, wanted: Path) -> RefusedError | None:
    try:
        compare(read_snapshot(serving), read_snapshot(wanted))
    except RefusedError as error:
        return error
    return None


def test_a_snapshot_is_its_small_files_and_the_headers_of_the_large_ones(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m")
    (directory / "tokenizer.model").write_bytes(b"\x00\x01")
    found = read_snapshot(directory)
    assert found.config == CONFIG
    assert found.files.keys() == {*SMALL_FILES, "tokenizer.model"} - {"config.json"}
    assert found.tensors == {"weight": Tensor("F32", (4,))}
    assert str(found.tensors["weight"]) == "F32[4]"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config": {**CONFIG, "transformers_version": "5", "_name_or_path": "/elsewhere"}},
        {"generation_config": {**SMALL_FILES["generation_config.json"], "_from_model_config": True}},
        {"tokenizer": json.dumps(TOKENIZER, indent=8).encode()},
    ],
    ids=["values", "who wrote the config", "who wrote the defaults", "spaces"],
)
def test_models_that_differ_in_nothing_an_engine_reads_change_places(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    assert refusal(write_model(tmp_path / "a", "a"), write_model(tmp_path / "b", "b", **files)) is None


DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": (
        {"config": {**CONFIG, "architectures": ["OtherForCausalLM"]}},
        "ArchitectureDiffers: it is ['OtherForCausalLM'], and this pod runs ['LlamaForCausalLM']",
    ),
    "layers": (
        {"config": {**CONFIG, "num_hidden_layers": 2}},
        "ConfigDiffers: num_hidden_layers in config.json is 2, and in this pod 1",
    ),
    "a field more": (
        {"config": {**CONFIG, "rope_scaling": {"factor": 8, "note": "x" * 99}}},
        "ConfigDiffers: rope_scaling in config.json is {'factor': 8, 'note': '",
    ),
    "chat template": (
        {"tokenizer_config": {"chat_template": "other"}},
        "ChatTemplateDiffers: its chat template",
    ),
    "vocabulary": (
        {"tokenizer": {"model": {"vocab": {"b": 0}}}},
        "TokenizerDiffers: tokenizer.json is not",
    ),
    "no tokenizer": ({"tokenizer": None}, "TokenizerDiffers: tokenizer.json is not"),
    "sampling": (
        {"generation_config": {"eos_token_id": 1, "temperature": 0.6}},
        "GenerationConfigDiffers: temperature in generation_config.json is 0.6, and in this pod None",
    ),
    "no defaults": (
        {"generation_config": None},
        "GenerationConfigDiffers: eos_token_id in generation_config.json is None, and in this pod 1",
    ),
    "dtype": (
        {"model": safetensors({"weight": {**TENSOR, "dtype": "F16", "shape": [8]}}, b"b" * 16)},
        "TensorsDiffer: its tensor weight is F16[8], and in this pod F32[4]",
    ),
    "name": (
        {"model": safetensors(OTHER, b"b" * 16)},
        "TensorsDiffer: it has the tensor other, which the model in this pod has not",
    ),
}


@pytest.mark.parametrize(("files", "said"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_any_other_difference_needs_another_pod(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    error = refusal(write_model(tmp_path / "a", "a"), write_model(tmp_path / "b", "b", **files))
    assert error is not None
    assert error.reason == "RestartRequired"
    assert error.message.startswith(said)


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    both = write_model(tmp_path / "a")
    (both / "more.safetensors").write_bytes(safetensors(OTHER, b"a" * 16))
    error = refusal(both, write_model(tmp_path / "b"))
    assert error is not None
    assert error.message == "TensorsDiffer: it lacks the tensor other, which this pod serves"


def test_a_file_that_no_check_knows_has_to_be_the_same(tmp_path: Path) -> None:
    one, other = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    (other / "preprocessor_config.json").write_text("{}")
    error = refusal(one, other)
    assert error is not None
    assert error.message.startswith("FilesDiffer: preprocessor_config.json")


def test_a_chat_template_of_its_own_file_counts(tmp_path: Path) -> None:
    one, other = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    (other / "chat_template.jinja").write_text("{{ other }}")
    error = refusal(one, other)
    assert error is not None
    assert error.message.startswith("ChatTemplateDiffers")


HEADER = safetensors({"weight": TENSOR}, b"")
BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "no config": ({"config": None}, "CheckpointIncomplete", "config.json"),
    "config that is a list": ({"config": []}, "CheckpointIncomplete", "config.json"),
    "config that is no JSON": ({"config": b"{"}, "CheckpointCorrupt", "config.json is not JSON"),
    "no weights": ({"model": None}, "CheckpointIncomplete", "no weight file"),
    "truncated": ({"model": HEADER + b"a" * 15}, "CheckpointCorrupt", "bytes where its header describes"),
    "a tail": ({"model": HEADER + b"a" * 17}, "CheckpointCorrupt", "bytes where its header describes"),
    "cut in its header": ({"model": HEADER[:-9]}, "CheckpointCorrupt", "longer than the file"),
    "empty": ({"model": b""}, "CheckpointCorrupt", "longer than the file"),
    "no safetensors": ({"model": (2).to_bytes(8, "little") + b"{{"}, "CheckpointCorrupt", "not one of"),
    "an unknown dtype": (
        {"model": safetensors({"weight": {**TENSOR, "dtype": "F3"}}, b"")},
        "CheckpointCorrupt",
        "not one of",
    ),
    "a header that is a list": ({"model": (2).to_bytes(8, "little") + b"[]"}, "CheckpointCorrupt", "not one"),
}


@pytest.mark.parametrize(("files", "reason", "said"), BROKEN.values(), ids=BROKEN)
def test_a_checkpoint_that_is_not_whole_is_refused_for_good(
    tmp_path: Path, files: dict[str, Any], reason: str, said: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        read_snapshot(write_model(tmp_path / "m", **files))
    assert caught.value.reason == reason
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("index", "reason", "said"),
    [
        ({"weight_map": {"weight": "absent.safetensors"}}, "CheckpointIncomplete", "absent.safetensors"),
        (
            {"weight_map": {"weight": "model.safetensors", "bias": "model.safetensors"}},
            "CheckpointIncomplete",
            "the tensor bias",
        ),
        ({}, "CheckpointCorrupt", "weight_map"),
        ([], "CheckpointCorrupt", "weight_map"),
    ],
)
def test_what_the_index_lists_has_to_be_there(tmp_path: Path, index: object, reason: str, said: str) -> None:
    directory = write_model(tmp_path / "m")
    (directory / INDEX).write_text(json.dumps(index))
    with pytest.raises(RefusedError) as caught:
        read_snapshot(directory)
    assert caught.value.reason == reason
    assert said in caught.value.message


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="CheckpointIncomplete"):
        read_snapshot(tmp_path / "absent")
