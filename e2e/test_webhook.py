"""A webhook is asked before a version serves: what it agrees to takes over, what it refuses never answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from e2e.cluster.cluster import Cluster
from e2e.lab.commands import rollout_wait
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.servers import reachable
from e2e.lab.streams import streaming
from e2e.lab.traffic import ask, kept_connections
from sluicegate.cli.command import Exit
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
STREAMS = 4
TOKENS = 8
PROMPTS = ("tell me a story", "how far is the moon")
UNDECIDED, AGREES, REFUSES = 503, 204, 403
WHY = "nobody signed for it"


@dataclass
class Webhook:
    """A webhook of the user's: it tries the new pods, and then answers as it is set."""

    status: int = UNDECIDED
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    found: list[str | None] = field(default_factory=list)
    """The versions that answered it."""

    async def answer(self, request: web.Request) -> web.Response:
        question = await request.json()
        assert request.headers["x-sluicegate-rollout"] == question["rollout"]
        async with kept_connections() as session:
            outcome = await ask(session, question["url"].removesuffix("/v1"), PROMPTS[0])
        self.asked.append(question)
        self.found.append(outcome.version)
        return web.Response(status=self.status, text=WHY if self.status == REFUSES else "")


@pytest_asyncio.fixture(loop_scope="session")
async def webhook() -> AsyncIterator[Webhook]:
    made, application = Webhook(), web.Application()
    application.router.add_post("/may-it-serve", made.answer)
    async with reachable(application) as address:
        made.url = f"{address}/may-it-serve"
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(lab: Lab) -> Lab:
    versions = (a_model_version(each, each) for each in ("tiny-a", "tiny-b"))
    await lab.apply(*versions, a_deployment(NAME, "tiny-a"))
    await lab.settled(NAME)
    return lab


async def _asks(lab: Lab, webhook: Webhook, version: str) -> None:
    """Change the version, and return when its webhook has been asked and could not say."""
    await lab.edit(NAME, modelVersion=version, rollout={"verification": {"webhook": {"url": webhook.url}}})
    said = await lab.says(NAME, "VerificationWebhookUnanswered", within=ENGINE_START_SECONDS)
    assert f"HTTP {UNDECIDED}" in said


async def test_a_version_that_its_webhook_agrees_to_takes_over_and_no_sooner(
    chat: Lab, cluster: Cluster, webhook: Webhook
) -> None:
    async with streaming(await chat.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS) as record:
        await record.grows(STREAMS)
        # when it cannot say
        await _asks(chat, webhook, "tiny-b")
        await record.grows(2 * STREAMS)
        # then what served serves on
        assert record.versions() == ["tiny-a"]
        # when it agrees
        webhook.status = AGREES
        ended = await rollout_wait(cluster, chat.namespace, NAME, 300)
        await chat.settled(NAME)
        await record.grows(2 * STREAMS)
    # then
    assert ended.code == Exit.OK, ended.log
    serving = (await chat.get(resources.LLM_DEPLOYMENT, NAME))["status"]["serving"]
    about = {"namespace": chat.namespace, "name": NAME, **serving}
    for question in webhook.asked:
        assert {key: question[key] for key in about} == about
    assert set(webhook.found) == {"tiny-b"}, "it could try the new pods alone"
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-a", "tiny-b"]
    found = await chat.settled(NAME)
    history = {each["id"]: each for each in found["status"]["history"]}
    assert "webhook agreed" in history[serving["rollout"]]["message"]
    assert webhook.url not in str(found["status"]), "it may hold a secret"


async def test_a_version_that_its_webhook_refuses_is_rolled_back_and_never_answers(
    chat: Lab, cluster: Cluster, webhook: Webhook
) -> None:
    # given
    before = await chat.settled(NAME)
    pods = uids(await chat.pods(NAME))
    async with streaming(await chat.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS) as record:
        await record.grows(STREAMS)
        await _asks(chat, webhook, "tiny-a")
        # when
        webhook.status = REFUSES
        ended = await rollout_wait(cluster, chat.namespace, NAME, 300)
        await record.grows(2 * STREAMS)
    # then
    assert ended.code == Exit.FAILED, ended.log
    found = await chat.get(resources.LLM_DEPLOYMENT, NAME)
    last = found["status"]["history"][0]
    assert [last[key] for key in ("version", "outcome", "reason")] == [
        "tiny-a",
        "RolledBack",
        "VerificationWebhookRefused",
    ]
    assert f"the webhook answered HTTP {REFUSES}: {WHY}" in last["message"]
    assert webhook.found[-1] == "tiny-a", "it was tried before it was refused"
    assert found["status"]["serving"] == before["status"]["serving"]
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-b"]
    await chat.until_gone(resources.REPLICA_SET, f"{NAME}-{last['id']}")
    assert uids(await chat.pods(NAME)) == pods
