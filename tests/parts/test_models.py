"""Models for the end-to-end tests: random ones that are told apart by their answers, and whole ones only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from e2e.models import Shape, place, tiny_llama
from safetensors.numpy import load_file

SMALL = Shape(hidden=64, layers=2, heads=1, intermediate=64)


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_equal_seeds_give_equal_files_and_another_seed_only_other_weights(tmp_path: Path) -> None:
    one, again, other = (
        _files(tiny_llama(tmp_path / name, seed, SMALL)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert one == again
    assert {name for name in one if one[name] != other[name]} == {"model.safetensors"}


def test_shards_hold_together_what_one_file_holds(tmp_path: Path) -> None:
    whole = load_file(tiny_llama(tmp_path / "whole", 1, SMALL) / "model.safetensors")
    sharded = tiny_llama(tmp_path / "sharded", 1, SMALL, shards=2)

    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    parts = {name: load_file(sharded / file)[name] for name, file in index["weight_map"].items()}

    assert len(set(index["weight_map"].values())) == 2
    assert parts.keys() == whole.keys()
    assert all(np.array_equal(parts[name], whole[name]) for name in whole)


def test_only_printable_characters_can_be_the_likeliest(tmp_path: Path) -> None:
    head = load_file(tiny_llama(tmp_path / "model", 1, SMALL) / "model.safetensors")["lm_head.weight"]

    likely = {chr(row - 2) for row in range(len(head)) if head[row].any()}

    assert likely == {chr(code) for code in range(0x20, 0x7F)}


def _half_then_killed(directory: Path) -> None:
    directory.mkdir()
    (directory / "weights").write_text("half")
    raise KeyboardInterrupt


def _whole(directory: Path) -> None:
    directory.mkdir()
    (directory / "weights").write_text("whole")


def test_a_model_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        place(tmp_path / "model", _half_then_killed)
    assert not (tmp_path / "model").exists()

    place(tmp_path / "model", _whole)

    assert _files(tmp_path / "model") == {"weights": b"whole"}


def test_a_model_that_somebody_else_made_meanwhile_is_as_good(tmp_path: Path) -> None:
    def overtaken(directory: Path) -> None:
        directory.mkdir()
        _whole(tmp_path / "model")

    place(tmp_path / "model", overtaken)

    assert _files(tmp_path / "model") == {"weights": b"whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
