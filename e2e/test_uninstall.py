"""Uninstalling leaves nothing behind and never hangs, whether the operator still runs or not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from e2e.cluster.cluster import Cluster
from e2e.install import Installation
from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import ask, fresh_connections
from sluicegate.kube import resources
from sluicegate.kube.client import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
    done = await _uninstall(cluster)
    # then
    assert done.returncode == 0, done.stdout + done.stderr
    await _nothing_is_left(cluster, client)


async def test_an_operator_of_one_namespace_serves_it_alone_and_leaves_nothing_behind(
    cluster: Cluster, client: Client, operator: Installation, lab: Lab, quiet: Lab
) -> None:
    # given the only operator of the cluster, in the lab's own namespace
    own = replace(operator, namespace=lab.namespace)
    own.apply()
    await own.ready(client)
    # when something is asked for there, and elsewhere
    await quiet.apply(a_deployment("elsewhere", "tiny-a", replicas=0))
    await lab.apply(a_model_version("tiny-a", "tiny-a"), a_deployment("own", "tiny-a"))
    # then it serves its own namespace
    await lab.settled("own")
    async with fresh_connections() as session:
        answer = await ask(session, await lab.url("own"), "tell me a story")
    assert (answer.version, answer.error) == ("tiny-a", None)
    elsewhere = await quiet.get(resources.LLM_DEPLOYMENT, "elsewhere")
    assert elsewhere["status"] == {"observedGeneration": -1}
    # and goes as a whole
    await quiet.delete(resources.LLM_DEPLOYMENT, "elsewhere")
    done = await _uninstall(cluster, "--operator-namespace", lab.namespace)
    assert done.returncode == 0, done.stdout + done.stderr
    await _nothing_is_left(cluster, client)


async def _uninstall(cluster: Cluster, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sluicegate", "uninstall", "--yes"]
    return await asyncio.to_thread(
        subprocess.run,
        [*command, "--kubeconfig", str(cluster.kubeconfig), *flags],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def _nothing_is_left(cluster: Cluster, client: Client) -> None:
    kinds = cluster.kubectl("api-resources", "--api-group=sluicegate.dev", "-o=name")
    assert kinds.strip() == ""
    for kind in (resources.REPLICA_SET, resources.SERVICE, resources.SECRET, resources.POD, resources.JOB):
        left = await client.list(kind, label_selector="app.kubernetes.io/managed-by=sluicegate")
        assert not left.items
    left_roles = cluster.kubectl("get", "clusterroles,clusterrolebindings", "-o=name")
    assert "sluicegate" not in left_roles
