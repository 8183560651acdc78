"""The Kubernetes binary is built once, by whichever checkout comes first, and leaves nothing else behind."""

from __future__ import annotations

import io
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e.cluster import binary, machine
from e2e.cluster.command import CommandError
from e2e.cluster.progress import Progress

# Says a recent version, writes what it is asked for, and fills its caches; fails where a file tells it to.
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.99.0; exit; fi
mkdir -p "$GOMODCACHE" "$GOCACHE"; touch "$GOMODCACHE/module" "$GOCACHE/object"
[ ! -e "$FAKE_GO/fail" ] || { echo 'no such module' >&2; exit 1; }
while [ "$1" != -o ]; do shift; done
echo "$2" >> "$FAKE_GO/built"
touch "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Go that builds nothing, with an empty cache beside it."""
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "go").write_text(GO)
    (folder / "go").chmod(stat.S_IRWXU)
    monkeypatch.setenv("FAKE_GO", str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "require_space", lambda *needs: None)
    monkeypatch.setattr(machine, "KUBERNETES_TOOLS", {})
    return folder


def _built() -> Path:
    return binary.built(Progress(io.StringIO()))


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_two_checkouts_at_once_build_it_once(go: Path) -> None:
    with ThreadPoolExecutor(2) as checkouts:
        one, other = checkouts.map(lambda _: _built(), range(2))

    assert one == other
    assert _names(one) == {"kube", "pause"}
    assert len((go / "built").read_text().splitlines()) == 2


def test_modules_and_objects_go_with_a_build_that_succeeds(go: Path, tmp_path: Path) -> None:
    _built()

    assert _names(tmp_path / "cache" / "sluicegate") == {"kubernetes", "kubernetes.lock"}


def test_modules_and_objects_stay_for_the_attempt_after_one_that_fails(go: Path, tmp_path: Path) -> None:
    (go / "fail").touch()

    with pytest.raises(CommandError, match="no such module"):
        _built()

    assert list(tmp_path.rglob("module"))
    (go / "fail").unlink()
    assert _names(_built()) == {"kube", "pause"}


def test_only_the_builds_used_last_are_kept(go: Path, tmp_path: Path) -> None:
    builds = tmp_path / "cache" / "sluicegate" / "kubernetes"
    for age, name in enumerate(("newer", "new", "old", "older")):
        (builds / name).mkdir(parents=True)
        os.utime(builds / name, (1000 - age, 1000 - age))

    current = _built()

    assert _names(builds) == {"newer", "new", current.name}
