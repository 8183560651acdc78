"""The lab: an operator installed on the running cluster, models on a claim, one namespace a module.

Run by `make e2e`, which starts the cluster, builds the images and enters the cluster's network.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from e2e import install
from e2e.cluster.cluster import Cluster
from e2e.lab.lab import MANAGER, Lab
from e2e.lab.objects import CLAIM, a_deployment, a_model_version
from e2e.lab.weights import place_models
from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound

# Whatever restarts kubelet disturbs the quiet deployment, which is watched from then on.
FIRST = ("test_survival",)
# Modules that look at what all the others did.
LAST = ("test_idle", "test_rbac", "test_uninstall")

MakeLab = Callable[[str], Awaitable[Lab]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = (*FIRST, "", *LAST)
    items.sort(key=lambda item: order.index(item.path.stem if item.path.stem in order else ""))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    running = Cluster()
    problem = running.problem()
    assert problem is None, f"the cluster waits for {problem}: run `make e2e`"
    return running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with await Client.from_environment(str(cluster.kubeconfig)) as found:
        yield found


@pytest.fixture(scope="session")
def weights(cluster: Cluster) -> Path:
    """The folder behind every lab's claim: smollm2/ and the small random models tiny-a/ and tiny-b/."""
    return place_models(cluster.layout.volumes / "models")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(cluster: Cluster, client: Client) -> install.Installation:
    """The operator, installed afresh from manifests/ and the images of this checkout."""
    images = install.Images(**json.loads(os.environ["SLUICEGATE_IMAGES"]))
    installation = install.Installation(cluster.layout.checkout, cluster.kubectl, images)
    installation.apply()
    await installation.ready(client)
    return installation


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def make_lab(
    cluster: Cluster, client: Client, weights: Path, operator: install.Installation
) -> AsyncIterator[MakeLab]:
    """Makes namespaces that enforce Pod Security `restricted` and hold a claim on the models."""
    made: list[str] = []

    async def make(name: str) -> Lab:
        await _clear(client, name)
        # A volume that was bound once stays bound to the claim that went with the namespace.
        cluster.kubectl("delete", "persistentvolume", f"{name}-{CLAIM}", "--ignore-not-found")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        await client.apply(manifest, MANAGER)
        cluster.add_volume(name, CLAIM, weights)
        made.append(name)
        return Lab(client, name)

    yield make
    for name in made:
        await client.delete(resources.NAMESPACE, "", name)


async def _clear(client: Client, namespace: str) -> None:
    """Removes what an interrupted run left of a namespace, and returns when it is gone."""
    async with asyncio.timeout(120):
        while True:
            try:
                found = await client.get(resources.NAMESPACE, "", namespace)
                if "deletionTimestamp" not in found["metadata"]:
                    await client.delete(resources.NAMESPACE, "", namespace)
            except NotFound:
                return
            await asyncio.sleep(0.3)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lab(make_lab: MakeLab, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """The module's own namespace; its deployments go with the module."""
    name = request.path.stem.removeprefix("test_").replace("_", "-")
    made = await make_lab(f"lab-{name}")
    yield made
    # After an uninstall the kind itself is gone.
    with suppress(NotFound):
        await _remove_deployments(made)


async def _remove_deployments(made: Lab) -> None:
    for deployment in await made.all(resources.LLM_DEPLOYMENT):
        await made.delete(resources.LLM_DEPLOYMENT, deployment["metadata"]["name"])
        await made.until_no_pods(deployment["metadata"]["name"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def quiet(make_lab: MakeLab) -> Lab:
    """A namespace with a deployment named `vllm` that nobody touches while the other tests run."""
    made = await make_lab("lab-quiet")
    await made.apply(a_model_version("tiny-a", "tiny-a"), a_deployment("vllm", "tiny-a"))
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def _quiet_from_the_start(quiet: Lab) -> None:
    """The quiet deployment is made before the first test, so that it has been quiet for long at the end."""
