"""Uninstalling leaves nothing behind and never hangs, whether the operator still runs or not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from e2e.cluster.cluster import Cluster
from e2e.install import Installation
from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from sluicegate.kube import resources
from sluicegate.kube.client import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _uninstall(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "sluicegate",
        "uninstall",
        "--yes",
        "--kubeconfig",
        str(cluster.kubeconfig),
    ]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("dead", [False, True], ids=["a running operator", "a dead operator"])
async def test_uninstall_leaves_nothing_behind(
    dead: bool, cluster: Cluster, client: Client, operator: Installation, lab: Lab
) -> None:
    # given
    operator.apply()
    await operator.ready(client)
    await lab.apply(a_model_version("tiny-a", "tiny-a"), a_deployment("last", "tiny-a", replicas=0))
    await lab.ready("last", within=60)
    if dead:
        await operator.stop(client)
    # when
    done = await asyncio.to_thread(_uninstall, cluster)
    # then
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = cluster.kubectl("api-resources", "--api-group=sluicegate.dev", "-o=name")
    assert kinds.strip() == ""
    for kind in (resources.REPLICA_SET, resources.SERVICE, resources.SECRET, resources.POD, resources.JOB):
        left = await client.list(kind, label_selector="app.kubernetes.io/managed-by=sluicegate")
        assert not left.items
    left_roles = cluster.kubectl("get", "clusterroles,clusterrolebindings", "-o=name")
    assert "sluicegate" not in left_roles
