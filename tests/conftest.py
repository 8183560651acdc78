"""How long tests run, and in which order."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings

# How long an example takes is the machine's business, and no fault of what is tried.
settings.register_profile("sluicegate", deadline=None)
settings.load_profile("sluicegate")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--in-turn", action="store_true", help="a test of each file in turn: failures show early"
    )
    parser.addoption("--nightly", action="store_true", help="make the long runs as long as they are meant")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--nightly"):
        late = [item for item in items if item.get_closest_marker("nightly")]
        items[:] = [item for item in items if item not in late]
        config.hook.pytest_deselected(items=late)
    if config.getoption("--in-turn"):
        seen: Counter[str] = Counter()
        places = {}
        for item in items:
            places[item] = seen[item.nodeid.partition("::")[0]]
            seen[item.nodeid.partition("::")[0]] += 1
        items.sort(key=places.__getitem__)


@pytest.fixture
def nightly(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--nightly"))
