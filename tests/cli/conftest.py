"""A deployment and the commands about its rollout, on one simulated API server."""

from __future__ import annotations

import pytest
from tests.cli.rollouts import Commands, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> Commands:
    made = Commands(monkeypatch)
    made.speak_to(scene.wire)
    return made
