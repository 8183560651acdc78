"""What the prose shows is legal, and what it refers to is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.api.crdgen import RESOURCES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MODELS = {resource.kind: resource.model for resource in RESOURCES}


def _examples() -> list[Any]:
    return [
        pytest.param(obj, id=f"{page.name}-{obj['kind']}-{obj['metadata']['name']}")
        for page in PAGES
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        for obj in yaml.safe_load_all(block)
        if obj.get("kind") in MODELS
    ]


@pytest.mark.parametrize("obj", _examples())
def test_an_example_is_legal(obj: dict[str, Any]) -> None:
    parsed = MODELS[obj["kind"]].model_validate_json(json.dumps(obj), strict=True)

    assert parsed.model_dump(by_alias=True)["metadata"]["name"] == obj["metadata"]["name"]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_the_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"((?:tests|e2e|bench)/[\w/]+\.py)(?:::(\w+))?", page.read_text())

    assert [f"{file}::{test}" for file, test in named if not _exists(ROOT / file, test)] == []


def test_every_guarantee_names_what_holds_it() -> None:
    lines = (ROOT / "docs" / "guarantees.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| guarantee", "| ---"))]

    assert len(rows) >= 30
    assert [row for row in rows if "::" not in row] == []


def _exists(file: Path, test: str) -> bool:
    """Whether the file is there and, where a test is named, has it."""
    if not file.exists():
        return False
    return not test or bool(re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE))
