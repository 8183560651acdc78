"""A version that fails before it serves is given up by itself; what served before serves every request."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from safetensors.numpy import load_file, save_file

from e2e.cluster.cluster import Cluster
from e2e.lab.commands import rollout_wait
from e2e.lab.lab import Lab, Object, condition, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import streaming
from e2e.models import tiny_llama
from sluicegate.cli.command import Exit
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
GOOD = "tiny-a"
STREAMS = 4
TOKENS = 8
PROMPTS = ("tell me a story", "how far is the moon")
SHORTEST_SECONDS, TWO_LIVES_SECONDS = 60, 150
"""Deadlines: the shortest that a spec may ask for, and one that lets an engine start and fail twice on a busy
machine."""
NOTICED_SECONDS = 15.0
"""An operator that shares two cores with loading engines has to look, and to write what it found."""


def _lack_a_layer(folder: Path) -> None:
    """The configuration has one layer more than the weights: what vLLM finds out when it loads them."""
    configuration = folder / "config.json"
    said = json.loads(configuration.read_text())
    configuration.write_text(json.dumps({**said, "num_hidden_layers": said["num_hidden_layers"] + 1}))


def _hold_nan(folder: Path) -> None:
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"][0] = np.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)


MODELS = {"lacks-a-layer": _lack_a_layer, "holds-nan": _hold_nan}


@dataclass(frozen=True)
class Bad:
    """An edit of the spec that no engine starts with, words that the status has to hold within the deadline
    (in seconds), and the edit that mends it."""

    edit: Object
    why: str
    deadline: int
    corrected: Object


VERSIONS = {
    # Its correction needs new pods.
    "that crashes at start": Bad(
        {"modelVersion": "lacks-a-layer"}, "layers.4", TWO_LIVES_SECONDS, {"modelVersion": "tiny-b"}
    ),
    "with a flag that the image rejects": Bad(
        {"engine": {"extraArgs": ["--attention-backend=NO_SUCH"]}},
        "NO_SUCH",
        TWO_LIVES_SECONDS,
        {"engine": {"extraArgs": None}},
    ),
    # A terminal's other end, to which nobody ever writes: the server waits for the rest of its template.
    "that hangs at start": Bad(
        {"engine": {"extraArgs": ["--chat-template=/dev/ptmx"]}},
        f"is not ready within rollout.progressDeadlineSeconds ({SHORTEST_SECONDS})",
        SHORTEST_SECONDS,
        {"engine": {"extraArgs": None}},
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(lab: Lab, weights: Path) -> Lab:
    for name, harm in MODELS.items():
        shutil.rmtree(weights / name, ignore_errors=True)
        harm(tiny_llama(weights / name, seed=7))
        await lab.apply(a_model_version(name, name))
    await lab.apply(*(a_model_version(each, each) for each in (GOOD, "tiny-b")), a_deployment(NAME, GOOD))
    await lab.settled(NAME)
    return lab


@asynccontextmanager
async def _serving_on(lab: Lab) -> AsyncIterator[None]:
    """Every request before, in and after the block is answered whole, by what answered before it."""
    serving = (await lab.get(resources.LLM_DEPLOYMENT, NAME))["status"]["serving"]
    async with streaming(await lab.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS) as record:
        await record.grows(STREAMS)
        yield
        await record.grows(STREAMS)
    assert not record.failed, record.failed[:3]
    assert record.versions() == [serving["version"]]
    assert len({each.text for each in record.served}) == len(PROMPTS), "an answer a prompt"
    assert (await lab.get(resources.LLM_DEPLOYMENT, NAME))["status"]["serving"] == serving


@pytest.mark.parametrize("bad", VERSIONS.values(), ids=VERSIONS.keys())
async def test_a_version_is_rolled_back_and_its_correction_goes_on(
    chat: Lab, cluster: Cluster, bad: Bad
) -> None:
    # given
    pods = uids(await chat.pods(NAME))
    async with _serving_on(chat):
        # when
        edited = datetime.now().astimezone()
        await chat.edit(NAME, rollout={"progressDeadlineSeconds": bad.deadline}, **bad.edit)
        message = await chat.says(NAME, "RolledBack", within=bad.deadline + 3 * NOTICED_SECONDS)
        # then it ended in time and said why, to all who ask
        live = await chat.get(resources.LLM_DEPLOYMENT, NAME)
        last = live["status"]["history"][0]
        assert last["outcome"] == "RolledBack"
        limit = timedelta(seconds=bad.deadline + NOTICED_SECONDS)
        assert datetime.fromisoformat(last["finishedAt"]) <= edited + limit
        assert (condition(live, "Stalled") or {})["reason"] == "RolledBack"
        assert bad.why in message
        assert bad.why in last["message"]
        await chat.tells(NAME, "RolledBack", bad.why)
        waited = await rollout_wait(cluster, chat.namespace, NAME, 10)
        assert waited.code == Exit.FAILED, waited.log
        assert bad.why in waited.log
        # and only what served is left
        await chat.until_gone(resources.REPLICA_SET, f"{NAME}-{last['id']}")
        assert uids(await chat.pods(NAME)) == pods
        # when it is corrected
        await chat.edit(NAME, rollout={"progressDeadlineSeconds": 1800}, **bad.corrected)
        if "modelVersion" not in bad.corrected:
            await chat.settled(NAME, within=30)
    # then
    await chat.settled(NAME)
    waited = await rollout_wait(cluster, chat.namespace, NAME, 10)
    assert waited.code == Exit.OK, waited.log


async def test_weights_that_hold_nan_are_refused_before_a_pod_is_made(chat: Lab, cluster: Cluster) -> None:
    # given
    pods = uids(await chat.pods(NAME))
    serving = (await chat.get(resources.LLM_DEPLOYMENT, NAME))["spec"]["modelVersion"]
    async with _serving_on(chat):
        # when
        await chat.edit(NAME, modelVersion="holds-nan")
        message = await chat.says(NAME, "ModelVersionNotReady")
        # then
        assert "NonFiniteWeights" in message
        await chat.tells(NAME, "ModelVersionNotReady", "NonFiniteWeights")
        waited = await rollout_wait(cluster, chat.namespace, NAME, 60)
        assert waited.code == Exit.FAILED, waited.log
        assert "NonFiniteWeights" in waited.log
        # when it is corrected
        await chat.edit(NAME, modelVersion=serving)
        await chat.settled(NAME, within=30)
    assert uids(await chat.pods(NAME)) == pods
