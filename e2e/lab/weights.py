"""The model folders behind every lab's claim."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e.models import smollm2, tiny_llama

SEEDS = {"tiny-a": 1, "tiny-b": 2}


def place_models(folder: Path) -> Path:
    """smollm2/ as it was published, and the small random models tiny-a/ and tiny-b/; readable by pods."""
    place_smollm2(folder / "smollm2")
    for name, seed in SEEDS.items():
        if not (folder / name).exists():
            tiny_llama(folder / name, seed=seed)
    return folder


def place_smollm2(folder: Path) -> None:
    if not folder.exists():
        shutil.copytree(smollm2(), folder)
