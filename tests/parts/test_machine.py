"""What the machine must bring is checked first, and what is missing is said with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.cluster.machine import MachineError, Need, require_space


@pytest.fixture
def free(tmp_path: Path) -> float:
    return shutil.disk_usage(tmp_path).free / 2**30


def test_a_disk_with_room_for_all_is_enough(tmp_path: Path, free: float) -> None:
    require_space(
        Need("a cluster", tmp_path / "a", free / 4, ""), Need("a build", tmp_path / "b", free / 4, "")
    )


def test_what_comes_to_one_disk_is_added_up(tmp_path: Path, free: float) -> None:
    needs = [
        Need("a cluster", tmp_path / "state", free * 0.6, "end other clusters"),
        Need("a build", tmp_path / "cache", free * 0.6, "drop the cache"),
    ]

    with pytest.raises(MachineError) as refused:
        require_space(*needs)

    for words in (f"below {tmp_path}/state for a cluster", f"below {tmp_path}/cache for a build"):
        assert words in str(refused.value)
    assert str(refused.value).endswith("are free: end other clusters; drop the cache")
