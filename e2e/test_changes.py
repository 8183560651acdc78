"""Changes of version and engine under traffic: no request is lost, and each answer is its version's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.lab.lab import Lab, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import Outcome, Record, ask, kept_connections, traffic
from e2e.lab.watcher import watching
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPTS = ("tell me a story", "how far is the moon", "name three rivers")
# The longest legal name: names of Services and pods are made from it.
NAME = "c" * 50

Texts = dict[tuple[str, str], str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(lab: Lab) -> AsyncIterator[Texts]:
    """What each version answers to each prompt when nothing else runs; filled as versions serve."""
    await lab.apply(
        a_model_version("tiny-a", "tiny-a"), a_model_version("tiny-b", "tiny-b"), a_deployment(NAME, "tiny-a")
    )
    texts: Texts = {}
    yield texts


async def _learn(lab: Lab, texts: Texts, version: str) -> None:
    async with kept_connections() as session:
        for prompt in PROMPTS:
            outcome = await ask(session, await lab.url(NAME), prompt)
            assert outcome.version == version, outcome
            texts[version, prompt] = outcome.text or ""


def _own_answers(record: Record[Outcome], texts: Texts) -> None:
    wrong = [each for each in record.served if each.text != texts[each.version or "", each.prompt]]
    assert not wrong, wrong[:3]


async def test_a_change_of_version_loses_no_request_and_mixes_no_answers(lab: Lab, alone: Texts) -> None:
    # given
    await lab.settled(NAME)
    await _learn(lab, alone, "tiny-a")
    async with (
        watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, NAME) as sightings,
        traffic(await lab.url(NAME), PROMPTS, clients=4) as record,
    ):
        await record.grows(8)
        # when
        await lab.edit(NAME, modelVersion="tiny-b")
        await lab.settled(NAME)
        await record.grows(8)
    # then the status named who served all along
    assert list(dict.fromkeys(each.serving for each in sightings.seen)) == ["tiny-a", "tiny-b"]
    await _learn(lab, alone, "tiny-b")
    assert len(set(alone.values())) == 2 * len(PROMPTS), "answers differ by prompt and by version"
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-a", "tiny-b"]
    _own_answers(record, alone)


async def test_a_change_of_engine_settings_replaces_the_pods_and_loses_no_request(
    lab: Lab, alone: Texts
) -> None:
    # given
    before = await lab.settled(NAME)
    pods = uids(await lab.pods(NAME))
    async with traffic(await lab.url(NAME), PROMPTS, clients=4) as record:
        await record.grows(4)
        # when
        await lab.edit(NAME, engine={"maxModelLength": 384}, rollout={"historyLimit": 0})
        after = await lab.settled(NAME)
        await record.grows(4)
    # then
    assert not record.failed, record.failed[:3]
    _own_answers(record, alone)
    assert after["status"]["serving"]["rollout"] != before["status"]["serving"]["rollout"]
    assert not pods & uids(await lab.pods(NAME))
    # and nothing is remembered but what serves
    await lab.until(resources.LLM_DEPLOYMENT, NAME, lambda obj: len(obj["status"]["history"]) == 1, 60)


async def test_going_back_before_the_new_version_serves_removes_only_the_new_pods(
    lab: Lab, alone: Texts
) -> None:
    # given a candidate that is coming up
    before = await lab.settled(NAME)
    pods = uids(await lab.pods(NAME))
    await lab.edit(NAME, modelVersion="tiny-a")
    await lab.until(
        resources.LLM_DEPLOYMENT,
        NAME,
        lambda obj: (obj["status"].get("rollout") or {}).get("toVersion") == "tiny-a",
        30,
    )
    async with traffic(await lab.url(NAME), PROMPTS, clients=2) as record:
        # when
        await lab.edit(NAME, modelVersion="tiny-b")
        after = await lab.settled(NAME, within=60)
        await record.grows(4)
    # then
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-b"]
    assert after["status"]["serving"] == before["status"]["serving"]
    assert uids(await lab.pods(NAME)) == pods
