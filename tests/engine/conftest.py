"""Both ends of the gate, and what else a pod speaks to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.engine.clock import Watch
from tests.engine.collector import FakeCollector
from tests.engine.gate import Engine, Fixture
from tests.engine.store import FakeStore


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def collector() -> AsyncIterator[FakeCollector]:
    fake = FakeCollector()
    async with fake.listening():
        yield fake


@pytest.fixture
async def store() -> AsyncIterator[FakeStore]:
    fake = FakeStore()
    async with fake.listening():
        yield fake


@pytest.fixture
def gate(engine: Engine) -> Fixture:
    return Fixture(engine)
