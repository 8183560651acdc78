"""The main job: apply two objects, wait, and get real tokens; and the status tells the truth all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from e2e.lab.lab import Lab, is_ready
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import ask, fresh_connections, traffic
from e2e.lab.watcher import LONGEST_LIE_SECONDS, longest_lie, watching
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


async def test_a_model_answers_and_its_status_never_claims_more_than_clients_see(lab: Lab) -> None:
    name = "chat"
    async with watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, name) as sightings:
        # given
        await lab.apply(a_model_version("smollm2", "smollm2"), a_deployment(name, "smollm2"))
        await lab.until(resources.SERVICE, name, lambda obj: bool(obj["spec"].get("clusterIP")), 120)
        url = await lab.url(name)
        async with traffic(url, [QUESTION], clients=2, pause=0.2, tokens=4) as record:
            # when
            await lab.ready(name)
            await record.grows(4)
            # then
            async with fresh_connections() as session:
                outcome = await ask(session, url, QUESTION, tokens=16)
            assert (outcome.text, outcome.version, outcome.error) == (ANSWER, "smollm2", None)
            await lab.delete(resources.LLM_DEPLOYMENT, name)
            await lab.until_gone(resources.LLM_DEPLOYMENT, name)
            await lab.until_no_pods(name)
        ended = time.monotonic()
    assert longest_lie(sightings, record.outcomes, ended) <= LONGEST_LIE_SECONDS
    assert all(_generation_is_observed(sighting.object) for sighting in sightings.seen)
    assert [each for each in sightings.seen if each.ready], "the watcher saw it ready"


async def test_deleting_it_removed_every_child(lab: Lab) -> None:
    kinds = (
        resources.REPLICA_SET,
        resources.POD,
        resources.SERVICE,
        resources.CONTROLLER_REVISION,
        resources.DISRUPTION_BUDGET,
        resources.NETWORK_POLICY,
        resources.SECRET,
        resources.CONFIG_MAP,
    )
    async with asyncio.timeout(30):
        for kind in kinds:
            while left := await lab.all(kind, **{"sluicegate.dev/deployment": "chat"}):
                await asyncio.sleep(0.2)
            assert not left


async def _version_first(lab: Lab) -> None:
    await lab.delete(resources.MODEL_VERSION, "used")
    message = await lab.says("used", "InUse", resource=resources.MODEL_VERSION)
    assert "user" in message
    await lab.delete(resources.LLM_DEPLOYMENT, "user")


async def _deployment_first(lab: Lab) -> None:
    await lab.delete(resources.LLM_DEPLOYMENT, "user")
    await lab.until_gone(resources.LLM_DEPLOYMENT, "user")
    await lab.delete(resources.MODEL_VERSION, "used")


async def _both_at_once(lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        for kind, name in ((resources.LLM_DEPLOYMENT, "user"), (resources.MODEL_VERSION, "used")):
            group.create_task(lab.delete(kind, name))


@pytest.mark.parametrize("remove", [_version_first, _deployment_first, _both_at_once])
@pytest.mark.parametrize("use", ["model", "draft"])
async def test_a_model_version_is_kept_while_it_is_used_and_goes_when_it_is_not(
    lab: Lab, use: str, remove: Callable[[Lab], Awaitable[None]]
) -> None:
    # given a version that a deployment names
    draft = {"speculative": {"method": "DraftModel", "draftModelVersion": "used", "tokens": 2}}
    named = {"version": "tiny-a", "engine": draft} if use == "draft" else {"version": "used"}
    await lab.apply(a_model_version("used", "tiny-a"), a_model_version("tiny-a", "tiny-a"))
    await lab.apply(a_deployment("user", replicas=0, **named))
    await lab.ready("user", within=60)
    # when both are removed, in whatever order
    await remove(lab)
    # then none is left
    await lab.until_gone(resources.LLM_DEPLOYMENT, "user", within=30)
    await lab.until_gone(resources.MODEL_VERSION, "used", within=30)


def _generation_is_observed(obj: dict[str, Any]) -> bool:
    """The status says for which generation it holds, and so does each of its conditions."""
    status, generation = obj.get("status") or {}, obj["metadata"]["generation"]
    told = [status.get("observedGeneration"), *(each.get("observedGeneration") for each in _conditions(obj))]
    return all(each is not None and each <= generation for each in told) and (
        not is_ready(obj) or status["observedGeneration"] == generation
    )


def _conditions(obj: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (obj.get("status") or {}).get("conditions") or []
    return found
