"""One component can be ended and started while the others run on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.cluster import Cluster, ClusterError, Layout
from e2e.cluster.components import Component
from e2e.cluster.progress import Progress
from e2e.cluster.supervisor import Supervisor


@asynccontextmanager
async def a_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Two components that do nothing, `etcd` and `apiserver`, with the supervisor in this process."""
    cluster = Cluster(Layout(folder / "checkout", states=folder))
    cluster.layout.logs.mkdir(parents=True)
    components = [Component(name, ("sleep", "60")) for name in ("etcd", "apiserver")]
    supervisor = Supervisor(components, cluster.layout.logs)
    running = asyncio.create_task(supervisor.run(cluster.layout.control_socket))
    await asyncio.to_thread(Progress(io.StringIO()).wait, lambda: _missing(cluster), limit_seconds=10)
    try:
        yield cluster
    finally:
        for name in ("etcd", "apiserver"):
            await asyncio.to_thread(cluster.stop, name, "KILL")
        running.cancel()
        await asyncio.wait([running])


def _missing(cluster: Cluster) -> str | None:
    try:
        return cluster.status()["waitingFor"] or None
    except ClusterError:
        return "the supervisor"


async def _components(cluster: Cluster) -> dict[str, Any]:
    return dict((await asyncio.to_thread(cluster.status))["components"])


@pytest.mark.parametrize(("how", "code"), [("TERM", -15), ("KILL", -9)])
async def test_a_component_that_was_stopped_stays_dead_and_the_others_live(
    tmp_path: Path, how: str, code: int
) -> None:
    async with a_cluster(tmp_path) as cluster:
        before = await _components(cluster)
        await asyncio.to_thread(cluster.stop, "apiserver", how)
        stopped = await _components(cluster)
        assert stopped == {**before, "apiserver": {**before["apiserver"], "exitCode": code}}
        problem = await asyncio.to_thread(cluster.problem)
        assert problem is not None
        assert problem.startswith(f"apiserver, which ended with code {code}")


async def test_a_component_that_was_stopped_is_started_by_name(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        before = await _components(cluster)
        await asyncio.to_thread(cluster.stop, "apiserver")
        await asyncio.to_thread(cluster.start, "apiserver")
        after = await _components(cluster)
        assert after["etcd"] == before["etcd"]
        assert after["apiserver"]["exitCode"] is None
        assert after["apiserver"]["pid"] != before["apiserver"]["pid"]


async def test_starting_what_runs_changes_nothing(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        before = await _components(cluster)
        await asyncio.to_thread(cluster.start, "apiserver")
        assert await _components(cluster) == before


async def test_a_component_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        with pytest.raises(ClusterError, match=r"stop kube-apiserver: .*kube-apiserver"):
            await asyncio.to_thread(cluster.stop, "kube-apiserver")
