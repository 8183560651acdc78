"""Another version comes into running pods under streams that never pause: strategy HotReload."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.lab.lab import Lab, Object, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import Streamed, streaming
from e2e.lab.traffic import Record
from e2e.lab.watcher import Sightings, watching
from e2e.models import tiny_llama
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
REPLICAS = 2
STREAMS = 4
CHANGE_SECONDS = 900.0
"""Where new pods come, two engines start beside two that answer streams without a pause."""
TOKENS = 8
PROMPTS = ("tell me a story", "how far is the moon", "name three rivers")
OTHERWISE_SET = "longer-context"
"""A version with other settings in its configuration: no engine that was built for another can serve it."""

Texts = Mapping[tuple[str, str], str]


def _longer_context(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    configuration = tiny_llama(folder, seed=3) / "config.json"
    said = json.loads(configuration.read_text())
    configuration.write_text(
        json.dumps({**said, "max_position_embeddings": 2 * said["max_position_embeddings"]})
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(lab: Lab, weights: Path) -> Lab:
    _longer_context(weights / OTHERWISE_SET)
    versions = (a_model_version(each, each) for each in ("tiny-a", "tiny-b", OTHERWISE_SET))
    deployment = a_deployment(NAME, "tiny-b", replicas=REPLICAS, rollout={"strategy": "HotReload"})
    await lab.apply(*versions, deployment)
    await lab.verified("tiny-a", "tiny-b", OTHERWISE_SET)
    await lab.settled(NAME)
    return lab


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(chat: Lab, quiet: Lab) -> Texts:
    """What the versions say to each prompt when nobody else asks. The quiet deployment serves tiny-a."""
    await quiet.settled("vllm")
    texts: dict[tuple[str, str], str] = {}
    for lab, name in ((chat, NAME), (quiet, "vllm")):
        async with streaming(await lab.url(name), PROMPTS, clients=1, tokens=TOKENS) as record:
            await record.grows(len(PROMPTS))
        assert not record.failed, record.failed[:3]
        texts |= {(each.version or "", each.prompt): each.text or "" for each in record.served}
    assert len(set(texts.values())) == 2 * len(PROMPTS), "answers differ by prompt and version"
    return texts


class Change:
    """What clients and a watcher saw of a change of version."""

    def __init__(self, record: Record[Streamed], status: Sightings) -> None:
        self.record = record
        self.status = status

    @property
    def steps(self) -> list[str]:
        rollouts = (each.object["status"].get("rollout") for each in self.status.seen)
        return list(dict.fromkeys(each["step"] for each in rollouts if each))


async def _changed(lab: Lab, version: str) -> Change:
    async with (
        watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, NAME) as status,
        streaming(await lab.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS) as record,
    ):
        await record.grows(2 * STREAMS)
        await lab.edit(NAME, modelVersion=version)
        await lab.settled(NAME, within=CHANGE_SECONDS)
        await record.grows(2 * STREAMS)
    return Change(record, status)


def _own_answers(record: Record[Streamed], texts: Texts) -> None:
    wrong = [each for each in record.served if each.text != texts[each.version or "", each.prompt]]
    assert not wrong, wrong[:3]


@pytest.mark.parametrize(("number", "version"), [(1, "tiny-a"), (2, "tiny-b"), (3, "tiny-a")])
async def test_a_version_comes_into_the_running_pods_and_no_request_is_lost(
    chat: Lab, alone: Texts, number: int, version: str
) -> None:
    # given
    before = await chat.pods(NAME)
    served = _serving(await chat.get(resources.LLM_DEPLOYMENT, NAME))
    # when
    change = await _changed(chat, version)
    # then nobody was kept waiting in vain, and each answer is its version's own
    assert not change.record.failed, change.record.failed[:3]
    assert change.record.versions()[0] == served
    assert set(change.record.versions()) == {served, version}
    _own_answers(change.record, alone)
    # and the pods are the same, and so are their containers
    after = await chat.pods(NAME)
    assert uids(after) == uids(before)
    assert _containers(after) == _containers(before)
    assert change.steps == [Step.STAGING, Step.CANARY, Step.FLEET, Step.OBSERVING]
    live = await chat.get(resources.LLM_DEPLOYMENT, NAME)
    assert _serving(live) == version
    assert live["status"]["history"][0]["outcome"] == "Promoted"
    pointer = await _pointer(chat, after[0])
    assert (pointer["version"], pointer["sequence"]) == (version, number)


async def test_a_pod_that_is_made_anew_serves_what_came_into_the_others(chat: Lab, alone: Texts) -> None:
    # given
    served = _serving(await chat.settled(NAME))
    lost = (await chat.pods(NAME))[0]["metadata"]["name"]
    async with streaming(await chat.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS) as record:
        # when
        await chat.delete(resources.POD, lost)
        await chat.until_gone(resources.POD, lost)
        await chat.settled(NAME)
        await record.grows(4 * STREAMS)
    # then
    assert not record.failed, record.failed[:3]
    assert record.versions() == [served]
    _own_answers(record, alone)


async def test_what_cannot_come_into_the_pods_comes_in_new_ones_and_it_is_said_why(chat: Lab) -> None:
    # given
    before = await chat.pods(NAME)
    # when
    change = await _changed(chat, OTHERWISE_SET)
    # then
    assert not change.record.failed, change.record.failed[:3]
    assert not uids(await chat.pods(NAME)) & uids(before)
    rollouts = (each.object["status"].get("rollout") or {} for each in change.status.seen)
    why = {each["notInPlace"] for each in rollouts if each.get("notInPlace")}
    assert any("ConfigDiffers: max_position_embeddings" in each for each in why), why
    assert Step.CUTOVER in change.steps


def _serving(live: Object) -> str:
    return str(live["status"]["serving"]["version"])


def _containers(pods: list[Object]) -> set[str]:
    return {each["containerID"] for pod in pods for each in pod["status"]["containerStatuses"]}


async def _pointer(lab: Lab, pod: Object) -> Object:
    volumes = (each.get("configMap") for each in pod["spec"]["volumes"])
    (name,) = (each["name"] for each in volumes if each)
    found = await lab.get(resources.CONFIG_MAP, name)
    return dict(json.loads(found["data"]["pointer.json"]))
