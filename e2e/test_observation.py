"""A version that took over and turns out worse makes room for the one before, whose pods are there still."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from e2e.cluster.cluster import Cluster
from e2e.lab.commands import rollout_wait
from e2e.lab.engines import kill_engine
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, Object, condition, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import Streamed, streaming
from e2e.lab.traffic import Record
from e2e.lab.watcher import Sightings, watching
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.cli.command import Exit
from sluicegate.core import naming
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
STREAMS = 8
TOKENS = 32
PROMPTS = ("tell me a story", "how far is the moon")
LEAST = 30
"""Requests of either version that are compared."""
OBSERVE_SECONDS = 180
COMPARISON = {"minRequests": LEAST, "maxTtftP95IncreasePercent": 100}
AT_ONCE, ONE_BY_ONE = {"maxConcurrentSequences": STREAMS}, {"maxConcurrentSequences": 1}
"""With the second, streams wait for one another, which counts as their time to first token."""
BACK_SECONDS = 5.0
"""From a dead engine until the Service has moved, on two cores that an engine starts on as well."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(lab: Lab) -> Lab:
    rollout = {"observeSeconds": OBSERVE_SECONDS, "verification": {"comparison": COMPARISON}}
    versions = (a_model_version(each, each) for each in ("tiny-a", "tiny-b"))
    await lab.apply(*versions, a_deployment(NAME, "tiny-a", engine=AT_ONCE, rollout=rollout))
    await lab.settled(NAME)
    return lab


@dataclass
class Observed:
    """What clients and a watcher saw, and who served before."""

    record: Record[Streamed]
    status: Sightings
    before: Object
    pods: set[str]

    @property
    def steps(self) -> list[str]:
        rollouts = (each.object["status"].get("rollout") for each in self.status.seen)
        return list(dict.fromkeys(each["step"] for each in rollouts if each))


@asynccontextmanager
async def _observed(lab: Lab) -> AsyncIterator[Observed]:
    """Streams from before the block to after it, when the version that served before serves alone again."""
    before = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    pods = uids(await lab.pods(NAME))
    async with (
        watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, NAME) as status,
        streaming(await lab.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS, pause=0.1) as record,
    ):
        await record.grows(2 * LEAST)
        yield Observed(record, status, before, pods)
        await record.grows(STREAMS)
        back = time.monotonic()
        await record.grows(2 * STREAMS)
    late = {each.version for each in record.served if each.began > back}
    assert late == {before["status"]["serving"]["version"]}


async def _observing(lab: Lab, version: str) -> Object:
    """The LLMDeployment, once this version serves and is observed."""

    def holds(obj: Object) -> bool:
        rollout = obj["status"].get("rollout") or {}
        return (rollout.get("toVersion"), rollout.get("step")) == (version, Step.OBSERVING)

    return await lab.until(resources.LLM_DEPLOYMENT, NAME, holds)


async def _taken_back(lab: Lab, cluster: Cluster, seen: Observed, why: set[str], words: str) -> None:
    """It ended for this reason, in these words, to all who ask; what served before serves again."""
    message = await lab.says(NAME, "RolledBack", within=ENGINE_START_SECONDS)
    live = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    last = live["status"]["history"][0]
    assert [last["version"], last["outcome"]] == ["tiny-b", "RolledBack"]
    assert last["reason"] in why
    assert words in last["message"]
    assert words in message
    assert "tiny-a, as before, serves on" in message
    assert (condition(live, "Stalled") or {})["reason"] == "RolledBack"
    await lab.tells(NAME, "RolledBack", words)
    ended = await rollout_wait(cluster, lab.namespace, NAME, 10)
    assert ended.code == Exit.FAILED, ended.log
    assert live["status"]["serving"] == seen.before["status"]["serving"]
    assert uids(await lab.pods(NAME)) == seen.pods, "the pods that served before, and no others"


async def test_a_version_that_answers_more_slowly_is_taken_back_and_no_request_fails(
    chat: Lab, cluster: Cluster
) -> None:
    async with _observed(chat) as seen:
        # when
        await chat.edit(NAME, modelVersion="tiny-b", engine=ONE_BY_ONE)
        await _observing(chat, "tiny-b")
        # then
        assert seen.pods < uids(await chat.pods(NAME)), "the old pods stay"
        words = "the 95th percentile of the time to first token rose from"
        await _taken_back(chat, cluster, seen, {"RegressionObserved"}, words)
    assert seen.steps == [
        Step.PROVISIONING,
        Step.VERIFYING,
        Step.CUTOVER,
        Step.OBSERVING,
        Step.REVERTING,
        Step.DISCARDING,
    ]
    assert not seen.record.failed, seen.record.failed[:3]
    assert seen.record.versions() == ["tiny-a", "tiny-b"]


async def test_a_version_whose_engine_dies_is_taken_back_at_once_and_costs_only_its_own_requests(
    chat: Lab, cluster: Cluster
) -> None:
    async with _observed(chat) as seen:
        # given
        await chat.edit(NAME, modelVersion="tiny-b", engine=AT_ONCE)
        rollout = (await _observing(chat, "tiny-b"))["status"]["rollout"]["id"]
        (pod,) = await chat.all(resources.POD, **{naming.ROLLOUT: rollout})
        await seen.record.grows(STREAMS)
        assert not seen.record.failed, seen.record.failed[:3]
        # when
        await kill_engine(cluster, chat, pod["metadata"]["name"])
        killed = time.monotonic()
        # then
        await _taken_back(chat, cluster, seen, {"NoReadyReplicas", "EngineCrashLooping"}, "")
    failed = seen.record.failed
    assert "tiny-a" not in {each.version for each in failed}
    late = [each for each in failed if each.began > killed + BACK_SECONDS]
    assert not late, late[:3]
    assert Step.REVERTING in seen.steps
