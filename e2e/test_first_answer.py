"""The main job: apply two objects, wait, and get real tokens; and the status tells the truth all the time."""

from __future__ import annotations

import asyncio
import time

import pytest

from e2e.lab.lab import Lab, is_ready
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import Outcome, ask, fresh_connections, traffic
from e2e.lab.watcher import Sightings, watching
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
LONGEST_LIE_SECONDS = 5.0
"""Design: Ready outlasts a failure by at most this."""


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
    assert _longest_lie(sightings, record.outcomes, ended) <= LONGEST_LIE_SECONDS
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


async def test_a_model_version_is_kept_while_it_is_used_and_goes_when_it_is_not(lab: Lab) -> None:
    # given a version that a deployment names
    await lab.apply(a_deployment("user", "smollm2", replicas=0))
    await lab.ready("user")
    # when it is deleted
    await lab.delete(resources.MODEL_VERSION, "smollm2")
    # then it stays, and says why, until the deployment has gone
    message = await lab.says("smollm2", "InUse", resource=resources.MODEL_VERSION)
    assert "user" in message
    await lab.delete(resources.LLM_DEPLOYMENT, "user")
    await lab.until_gone(resources.MODEL_VERSION, "smollm2", within=30)


def _longest_lie(sightings: Sightings, outcomes: list[Outcome], end: float) -> float:
    """The longest time that requests failed one after another while the status said Ready."""
    longest = 0.0
    for began, ended in sightings.ready_spans(end):
        failing_since: float | None = None
        for outcome in sorted(outcomes, key=lambda outcome: outcome.began):
            if not began <= outcome.began <= ended:
                continue
            if outcome.served:
                failing_since = None
                continue
            failing_since = outcome.began if failing_since is None else failing_since
            longest = max(longest, min(outcome.ended, ended) - failing_since)
    return longest


def _generation_is_observed(obj: dict[str, object]) -> bool:
    status: dict[str, object] = obj.get("status") or {}  # type: ignore[assignment]
    return "observedGeneration" in status and (
        not is_ready(obj) or status["observedGeneration"] == obj["metadata"]["generation"]  # type: ignore[index]
    )
