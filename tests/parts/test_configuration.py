"""A running cluster is reused only by the code that it was made by."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.cluster import Layout, binary, configuration


def _written(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "checkout", states=tmp_path / "states")
    configuration.write(layout, kube=tmp_path / "kube", port=20000)
    return layout


def test_a_cluster_of_this_code_is_current(tmp_path: Path) -> None:
    assert configuration.is_current(_written(tmp_path))


def test_a_cluster_of_another_binary_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = _written(tmp_path)

    monkeypatch.setattr(binary, "key", lambda: "another")

    assert not configuration.is_current(layout)


def test_a_cluster_of_other_flags_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = _written(tmp_path)
    other = tmp_path / "registry.yml"
    other.write_text("another configuration")

    monkeypatch.setattr(configuration, "REGISTRY_CONFIGURATION", other)

    assert not configuration.is_current(layout)


def test_a_cluster_that_nobody_wrote_that_down_for_is_not(tmp_path: Path) -> None:
    layout = _written(tmp_path)

    (layout.state / "code").unlink()

    assert not configuration.is_current(layout)
