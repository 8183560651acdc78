"""The fake API server answers each case as the real one does."""

from __future__ import annotations

import json

import pytest
from tests.contract import rights
from tests.contract.difference import differences
from tests.contract.run import CASES, crd, golden, transcript
from tests.sim.apiserver import ApiServer
from tests.sim.server.store import Change

from sluicegate.kube.client import Client


@pytest.mark.parametrize("name", CASES)
async def test_the_fake_answers_as_the_real_server_did(name: str) -> None:
    client = Client(ApiServer([crd()]))

    real, fake = json.loads(golden(name).read_text()), await transcript(client, name)

    assert list(differences(real, fake)) == []


async def test_the_fake_forbids_as_the_real_server_did() -> None:
    real = json.loads(golden(rights.NAME).read_text())

    fake = await rights.on_the_fake()

    assert list(differences(real, fake)) == []


@pytest.mark.parametrize("name", CASES)
async def test_no_stored_version_is_changed_by_what_comes_after(name: str) -> None:
    server = ApiServer([crd()])
    as_made: list[tuple[Change, bytes]] = []
    server.store.listeners.append(lambda change: as_made.append((change, change.new.encoded)))

    await transcript(Client(server), name)

    assert [change.version for change, made in as_made if json.loads(made) != change.new] == []
