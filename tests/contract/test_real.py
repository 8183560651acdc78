"""The record that the fake is held to is what a real API server answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from e2e.cluster import api_server
from tests.contract import rights
from tests.contract.difference import differences
from tests.contract.run import CASES, golden, open_api, prepare, transcript
from tests.sim.server import schemas

from sluicegate.kube.client import Client


async def _prepared(kubeconfig: str) -> None:
    async with await Client.from_environment(kubeconfig) as client:
        await prepare(client)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API server of this module's own: its CRD bears the names of the product's."""
    with api_server(tmp_path_factory.mktemp("contract")) as server:
        asyncio.run(_prepared(str(server.kubeconfig)))
        yield str(server.kubeconfig)


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[Client]:
    async with await Client.from_environment(kubeconfig) as client:
        yield client


@pytest.mark.parametrize("name", CASES)
async def test_the_real_server_answers_as_recorded(client: Client, name: str) -> None:
    recorded, real = json.loads(golden(name).read_text()), await transcript(client, name)

    assert list(differences(real, recorded)) == []


async def test_the_real_server_forbids_as_recorded(client: Client, kubeconfig: str) -> None:
    recorded = json.loads(golden(rights.NAME).read_text())

    real = await rights.on_a_real_server(client, kubeconfig)

    assert list(differences(real, recorded)) == []


async def test_the_schemas_are_the_servers_own(client: Client) -> None:
    documents = [json.loads((await open_api(client, path)).body) for path in schemas.group_paths()]

    assert schemas.cut_down(documents) == json.loads(schemas.FILE.read_text())
