"""The gate and the engine behind it, for the tests that play both ends."""

from __future__ import annotations

import pytest
from tests.engine.gate import Engine, Fixture


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def gate(engine: Engine) -> Fixture:
    return Fixture(engine)
