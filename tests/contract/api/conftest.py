"""A real API server that has our definitions, and a namespace of its own for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from e2e.cluster import api_server, binary
from e2e.cluster.progress import Progress
from tests.contract.run import until_served

from sluicegate.api.crdgen import crds
from sluicegate.kube.client import Client
from sluicegate.kube.resources import (
    CUSTOM_RESOURCE_DEFINITION,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
)

MANAGER = "test"


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with api_server(tmp_path_factory.mktemp("api-server")) as server:
        yield str(server.kubeconfig)


@dataclass(frozen=True)
class Output:
    """How a process ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """kubectl of the server's own version."""

    kube: Path
    kubeconfig: str

    async def __call__(self, *arguments: str, given: str = "") -> Output:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(str(self.kube), "kubectl", "--kubeconfig", self.kubeconfig, *arguments),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        out, err = await process.communicate(given.encode())
        return Output(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def kubectl(kubeconfig: str) -> Kubectl:
    return Kubectl(binary.built(Progress()) / "kube", kubeconfig)


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[Client]:
    async with await Client.from_environment(kubeconfig) as client:
        yield client


@pytest.fixture
async def definitions(client: Client) -> list[dict[str, Any]]:
    """Our definitions as stored, once objects of them can be written."""
    applied = [await client.apply(crd, MANAGER, force=True) for crd in crds()]
    await until_served(client, LLM_DEPLOYMENT, MODEL_VERSION)
    names = [crd["metadata"]["name"] for crd in applied]
    return [await client.get(CUSTOM_RESOURCE_DEFINITION, "", name) for name in names]


@pytest.fixture
async def namespace(client: Client, definitions: list[dict[str, Any]]) -> str:
    name = f"case-{uuid4().hex[:8]}"
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, MANAGER)
    return name
