"""Of the images in the registry's store only those used last are kept."""

from __future__ import annotations

import os
from pathlib import Path

from e2e.images.builder import KEPT_TAGS, stale


def _tag(tags: Path, name: str, used: int) -> Path:
    link = tags / name / "current" / "link"
    link.parent.mkdir(parents=True)
    link.touch()
    os.utime(link, (used, used))
    return tags / name


def test_the_tags_used_last_are_kept(tmp_path: Path) -> None:
    made = [_tag(tmp_path, name, used) for used, name in enumerate("zyxwvu")]

    assert set(stale(tmp_path)) == set(made[:-KEPT_TAGS])


def test_a_tag_that_a_push_left_half_made_is_dropped_and_displaces_none(tmp_path: Path) -> None:
    for used in range(KEPT_TAGS):
        _tag(tmp_path, f"whole-{used}", used)
    (tmp_path / "half" / "index").mkdir(parents=True)

    assert stale(tmp_path) == [tmp_path / "half"]
