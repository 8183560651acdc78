"""The model folders behind every lab's claim."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from e2e.models import place, smollm2, tiny_llama

SEEDS = {"tiny-a": 1, "tiny-b": 2}


def place_models(folder: Path) -> Path:
    """smollm2/ as it was published, and the small random models tiny-a/ and tiny-b/; readable by pods."""
    place_smollm2(folder / "smollm2")
    for name, seed in SEEDS.items():
        place(folder / name, partial(tiny_llama, seed=seed))
    return folder


def place_smollm2(folder: Path) -> None:
    place(folder, lambda new: shutil.copytree(smollm2(), new))
