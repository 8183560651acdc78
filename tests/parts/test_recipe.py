"""Image tags: the same for the same content, another for any change of what goes in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.images import ENGINE, SMALL, recipe

INPUTS = ("operator", "runtime", "requirements", "pyproject.toml", "e2e/images")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in INPUTS:
        source, target = recipe.CHECKOUT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return tmp_path


def test_compiled_files_do_not_change_a_tag(checkout: Path) -> None:
    before = SMALL.reference(checkout)

    (checkout / "operator" / "sluicegate" / "__pycache__").mkdir(exist_ok=True)
    (checkout / "operator" / "sluicegate" / "__pycache__" / "new.pyc").write_bytes(b"compiled")

    assert SMALL.reference(checkout) == before


@pytest.mark.parametrize(
    ("changed", "images"),
    [
        ("operator/sluicegate/__init__.py", {SMALL}),
        ("runtime/sluicegate_engine/__init__.py", {SMALL, ENGINE}),
        ("requirements/engine-cpu.txt", {ENGINE}),
        ("requirements/small.txt", {SMALL}),
        ("e2e/images/Containerfile.small", {SMALL}),
        ("pyproject.toml", {SMALL, ENGINE}),
    ],
)
def test_a_change_gives_new_tags_to_the_images_it_goes_into(
    checkout: Path, changed: str, images: set[recipe.Image]
) -> None:
    before = {image: image.reference(checkout) for image in (SMALL, ENGINE)}

    with (checkout / changed).open("a") as file:
        file.write("\n# changed\n")

    assert {image for image in before if image.reference(checkout) != before[image]} == images
