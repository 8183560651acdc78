"""The reference says what the code says."""

from __future__ import annotations

from pathlib import Path

from docs import generate
from sluicegate.core import naming

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_reference_is_that_of_the_code() -> None:
    committed = {path.name: path.read_text() for path in (DOCS / "reference").glob("*.md")}

    assert committed == generate.pages(), "run python docs/generate.py"


def test_every_label_and_annotation_is_documented() -> None:
    ours = {
        value
        for value in vars(naming).values()
        if isinstance(value, str) and value.startswith("sluicegate.dev/")
    }
    page = generate.pages()["labels.md"]

    assert ours
    assert {name for name in ours if f"`{name}" not in page} == set()
