"""The cgroup that kubelet gets as root of all pods, on machines with either version of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.cluster.namespaces import create_cgroup


@pytest.fixture
def hierarchy(tmp_path: Path) -> Path:
    """The new cgroup is there already, as the files in it are the kernel's and not made by mkdir."""
    (tmp_path / "pods").mkdir()
    return tmp_path


def test_in_version_2_each_group_hands_down_what_kubelet_wants_and_the_machine_has(hierarchy: Path) -> None:
    for group in (hierarchy, hierarchy / "pods"):
        (group / "cgroup.controllers").write_text("cpuset cpu io memory pids rdma\n")

    create_cgroup(hierarchy, "pods")

    for group in (hierarchy, hierarchy / "pods"):
        assert (group / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids"


def test_version_2_beside_version_1_is_left_as_it_is(hierarchy: Path) -> None:
    (hierarchy / "cgroup.controllers").write_text("hugetlb\n")

    create_cgroup(hierarchy, "pods")

    assert not (hierarchy / "cgroup.subtree_control").exists()


def test_in_version_1_a_cpuset_gets_the_processors_and_memory_of_its_parent(hierarchy: Path) -> None:
    for setting, all_there_is in (("cpuset.mems", "0\n"), ("cpuset.cpus", "0-1\n")):
        (hierarchy / setting).write_text(all_there_is)
        (hierarchy / "pods" / setting).write_text("")

    create_cgroup(hierarchy, "pods")

    assert (hierarchy / "pods" / "cpuset.mems").read_text() == "0\n"
    assert (hierarchy / "pods" / "cpuset.cpus").read_text() == "0-1\n"
