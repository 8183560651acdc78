"""A model from a hub: the token reaches the small image alone, and the pod serves what was inspected."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.store.hub_server import Hub

from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.servers import reachable
from e2e.lab.traffic import ask, fresh_connections
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

COMMIT = "0123456789abcdef" * 2 + "01234567"
TOKEN = "hub-secret-of-the-test"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hub(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Hub, str]]:
    """A hub with one gated model, and its address."""
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(weights / "tiny-a", root / "lab" / "tiny" / COMMIT)
    served = Hub(root, token=TOKEN)
    async with reachable(served.application()) as url:
        yield served, url


async def test_a_pinned_commit_of_a_private_repository_serves(lab: Lab, hub: tuple[Hub, str]) -> None:
    # given a Secret with the token
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub"},
        "stringData": {"token": TOKEN},
    }
    source = {"uri": f"hf://lab/tiny@{COMMIT}", "endpoint": hub[1], "secretName": "hub"}
    await lab.apply(secret, a_model_version("from-hub", "", source=source), a_deployment("hub", "from-hub"))
    # when
    await lab.settled("hub")
    # then
    async with fresh_connections() as session:
        outcome = await ask(session, await lab.url("hub"), "tell me a story")
    assert outcome.served, outcome
    assert outcome.version == "from-hub"
    pod = (await lab.pods("hub"))[0]
    engine = next(each for each in pod["spec"]["containers"] if each["name"] == "engine")
    assert "HF_TOKEN" not in str(engine), "the engine never sees the source's credentials"
    for kind in (resources.POD, resources.CONFIG_MAP, resources.JOB, resources.MODEL_VERSION):
        assert TOKEN not in str(await lab.all(kind)), "no object repeats the token"


async def test_a_wrong_token_is_told_apart_and_another_commit_is_not_found(
    lab: Lab, hub: tuple[Hub, str]
) -> None:
    gated = {"uri": f"hf://lab/tiny@{COMMIT}", "endpoint": hub[1]}
    await lab.apply(a_model_version("no-token", "", source=gated))
    await lab.says("no-token", "SourceForbidden", resource=resources.MODEL_VERSION)
    missing = {"uri": f"hf://lab/tiny@{'f' * 40}", "endpoint": hub[1], "secretName": "hub"}
    await lab.apply(a_model_version("no-commit", "", source=missing))
    await lab.says("no-commit", "SourceNotFound", resource=resources.MODEL_VERSION)
