"""A start that fails says so at once, with the last words of what ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.cluster import Cluster, ClusterError, Layout
from e2e.cluster.components import Component
from e2e.cluster.supervisor import Supervisor


async def test_a_component_that_cannot_be_started_ends_the_supervisor(tmp_path: Path) -> None:
    supervisor = Supervisor([Component("containerd", ("no-such-command",))], logs=tmp_path)

    with pytest.raises(FileNotFoundError, match="no-such-command"):
        async with asyncio.timeout(10):
            await supervisor.run(tmp_path / "control.sock")


def test_a_supervisor_that_ended_ends_the_wait_with_its_last_words(tmp_path: Path) -> None:
    cluster = Cluster(Layout(tmp_path / "checkout", states=tmp_path))
    cluster.layout.logs.mkdir(parents=True)
    cluster.log("supervisor").write_text("error: mount: permission denied\n")
    supervisor = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    supervisor.wait()

    with pytest.raises(ClusterError, match=r"supervisor\.log ends in\nerror: mount: permission denied"):
        cluster.missing_at_start(supervisor)


def test_a_supervisor_that_does_not_answer_yet_is_waited_for(tmp_path: Path) -> None:
    cluster = Cluster(Layout(tmp_path / "checkout", states=tmp_path))

    with subprocess.Popen(["sleep", "60"]) as supervisor:
        assert cluster.missing_at_start(supervisor) == "the supervisor"
        supervisor.kill()


def test_a_cluster_whose_kubeconfig_was_removed_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(Layout(tmp_path / "checkout", states=tmp_path))
    monkeypatch.setattr(cluster, "status", lambda: {"waitingFor": None, "components": {}})

    assert cluster.problem() == f"{cluster.layout.kubectl}, which is gone"
