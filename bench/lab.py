"""An operator on the local cluster and empty namespaces with models, for measurements."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e import install
from e2e.cluster import Cluster
from e2e.cluster.progress import Progress
from e2e.lab.lab import Lab
from e2e.lab.objects import CLAIM
from e2e.lab.weights import place_models

from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound

MANAGER = "bench"


@asynccontextmanager
async def labs(progress: Progress, *names: str) -> AsyncIterator[list[Lab]]:
    """A namespace of each name, beside an operator of this checkout; they go at the end of the block.

    Run inside the cluster's network, with SLUICEGATE_IMAGES set as the Makefile does.
    """
    cluster = Cluster()
    images = install.Images(**json.loads(os.environ["SLUICEGATE_IMAGES"]))
    installation = install.Installation(cluster.layout.checkout, cluster.kubectl, images)
    weights = place_models(cluster.layout.volumes / "models")
    async with await Client.from_environment(str(cluster.kubeconfig)) as client:
        with progress.step("installing the operator"):
            installation.apply()
            await installation.ready(client)
        yield [await _lab(client, cluster, weights, name) for name in names]
        for name in names:
            await client.delete(resources.NAMESPACE, "", name)


async def _lab(client: Client, cluster: Cluster, weights: Path, name: str) -> Lab:
    """An empty namespace with a claim on the models."""
    await _gone(client, name)
    cluster.kubectl("delete", "persistentvolume", f"{name}-{CLAIM}", "--ignore-not-found")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.create(namespace, MANAGER)
    cluster.add_volume(name, CLAIM, weights)
    return Lab(client, name)


async def _gone(client: Client, namespace: str) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                await client.delete(resources.NAMESPACE, "", namespace)
                await asyncio.sleep(0.3)
            except NotFound:
                return
