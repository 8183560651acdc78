"""What the machine must bring is checked first, and what is missing is said with what to do."""

from __future__ import annotations

import platform
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from e2e.cluster.machine import (
    MachineError,
    Need,
    private_directory,
    require_platform,
    require_space,
    services_held_back,
)


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


def test_another_architecture_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    with pytest.raises(MachineError, match=r"amd64.*this is Linux on aarch64"):
        require_platform("a cluster")


def test_a_directory_for_keys_is_closed_to_others_even_if_it_was_open(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir(mode=0o755)

    for directory in (new, old):
        private_directory(directory)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_link_in_the_place_of_a_directory_for_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "keys").symlink_to("elsewhere")

    with pytest.raises(MachineError, match="is not a directory of this user"):
        private_directory(tmp_path / "keys")


def test_services_are_held_back_only_during_an_installation(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    with services_held_back(policy):
        assert subprocess.run([policy, "containerd", "start"], check=False).returncode == 101

    assert not policy.exists()


def test_what_a_killed_installation_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with services_held_back(policy):
        left = policy.read_text()
    policy.write_text(left)

    with services_held_back(policy):
        pass

    assert not policy.exists()


def test_a_policy_of_the_machine_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")

    with services_held_back(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"

    assert policy.exists()
