"""The random Llamas that the end-to-end tests tell apart by their answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from e2e.models import Shape, tiny_llama
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
