"""No room for the pods of two versions: the old ones make some where that is declared, or new ones wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from e2e.cluster.cluster import Cluster
from e2e.lab.commands import rollout_wait, run
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, Object, condition, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import Streamed, streaming
from e2e.lab.switches import Colour, Switch, colours, switches
from e2e.lab.traffic import Record
from e2e.lab.watcher import Sighting, Sightings, watching
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.cli.command import Exit
from sluicegate.core import naming
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
HELD = 4
"""Accelerators of a pod, and of the neighbour's: two pods and the neighbour want more than the node's 8."""
NEIGHBOUR = "neighbour"
LONG, SHORT = 280, 8
"""Tokens. Of the long answers some are under way at any moment."""
PROMPTS = ("tell me a story", "how far is the moon", "name three rivers")
DEADLINE_SECONDS = 90
"""Lets an engine start and fail on a busy machine."""
PATIENCE_SECONDS = 25.0
"""SurgeThenSwap waits for 30 s, from a time that the scheduler tells in whole seconds."""
SWAPPED = [Step.SWAPPING, Step.PROVISIONING, Step.VERIFYING, Step.OBSERVING, Step.DRAINING]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(lab: Lab) -> Lab:
    # Its image does not matter for what it holds.
    held = {"accelerator": {"count": HELD}}
    neighbour = a_deployment(NEIGHBOUR, "tiny-a", engine={"image": "none:1"}, resources=held)
    mine = a_deployment(NAME, "tiny-a", resources={"cpu": "100m", "memory": "3Gi", **held})
    await lab.apply(*(a_model_version(each, each) for each in ("tiny-a", "tiny-b")), neighbour, mine)
    await lab.says(NEIGHBOUR, "ImagePullFailed")
    await lab.settled(NAME)
    return lab


@dataclass
class Story:
    """What clients and watchers saw of a change."""

    long: Record[Streamed]
    short: Record[Streamed]
    status: Sightings
    service: Sightings
    pods: Sightings

    @property
    def outcomes(self) -> list[Streamed]:
        return [*self.long.outcomes, *self.short.outcomes]

    @property
    def failed(self) -> list[Streamed]:
        return [each for each in self.outcomes if not each.served]

    @property
    def steps(self) -> list[str]:
        rollouts = (each.object["status"].get("rollout") for each in self.status.seen)
        return list(dict.fromkeys(each["step"] for each in rollouts if each))

    def colour(self, rollout: str) -> Colour:
        return colours(_of(NAME, self.pods))[rollout]

    def first_pod(self, rollout: str) -> float:
        """When the first pod of a colour was made."""
        return min(each.at for each in _of(NAME, self.pods) if _rollout(each) == rollout)

    def ended(self, rollout: str) -> float:
        """When the only pod of a colour had ended, and so let go of what it held."""
        return min(each.at for each in _of(NAME, self.pods) if _rollout(each) == rollout and _is_over(each))

    async def goes_on(self, by: int = 4) -> None:
        await self.long.grows(1)
        await self.short.grows(by)


def _of(deployment: str, pods: Sightings) -> list[Sighting]:
    return [each for each in pods.seen if each.object["metadata"]["labels"][naming.DEPLOYMENT] == deployment]


def _rollout(pod: Sighting) -> str:
    return str(pod.object["metadata"]["labels"][naming.ROLLOUT])


def _is_over(pod: Sighting) -> bool:
    return pod.type == "DELETED" or pod.object["status"].get("phase") in ("Failed", "Succeeded")


@asynccontextmanager
async def _told(lab: Lab) -> AsyncIterator[Story]:
    """Streams, long ones and short ones, from before the block to after it."""
    url = await lab.url(NAME)
    async with (
        watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, NAME) as status,
        watching(lab.client, resources.SERVICE, lab.namespace, NAME) as service,
        watching(lab.client, resources.POD, lab.namespace, "") as pods,
        streaming(url, PROMPTS, clients=2, tokens=LONG) as long,
        streaming(url, PROMPTS, clients=2, tokens=SHORT) as short,
    ):
        story = Story(long, short, status, service, pods)
        await story.goes_on()
        yield story
        await story.goes_on()


def _only_between(story: Story, told: float, answers: float) -> None:
    """Requests were turned away in a span of time; all others are answered, each to its end."""
    cut = [each for each in story.failed if each.pieces]
    assert not cut, cut[:3]
    outside = [each for each in story.failed if not told <= each.began <= answers]
    assert not outside, outside[:3]


def _swapped(story: Story, before: Object, after: Object) -> Switch:
    """One version was in another's place, and nobody but those who came in the gap saw it."""
    old, new = before["status"]["serving"], after["status"]["serving"]
    (switch,) = switches(story.service.seen)
    assert switch.rollout == new["rollout"]
    ending = story.colour(old["rollout"])
    _only_between(story, ending.told, switch.ended)
    finished = [each for each in story.long.served if each.began < ending.told < each.ended]
    assert finished, "answers were under way when the old pod was told to end"
    assert {each.version for each in finished} == {old["version"]}
    answered = {each.version for each in story.outcomes if each.served and each.began > switch.ended}
    assert answered == {new["version"]}
    gap = [each for each in story.status.seen if ending.gone < each.at < switch.removed]
    assert gap, "the status was written while nobody answered"
    assert {each.serving for each in gap} == {None}
    assert {(each.condition("Available") or {})["status"] for each in gap} == {"False"}
    return switch


async def test_a_swap_says_that_there_is_a_gap_lets_the_old_pod_finish_and_brings_the_new_version(
    chat: Lab, cluster: Cluster
) -> None:
    # given
    before = await chat.settled(NAME)
    pods = uids(await chat.pods(NAME))
    async with _told(chat) as story:
        # when
        await chat.edit(NAME, modelVersion="tiny-b", rollout={"strategy": "Swap", "promotion": "Manual"})
        # then it says what is to come, and nothing has happened yet
        assert "from then on nobody answers until it is verified" in await chat.says(
            NAME, "AwaitingPromotion"
        )
        await story.goes_on()
        assert uids(await chat.pods(NAME)) == pods
        # when a person agrees
        ended = await run(cluster, "kubectl", "sluice", "rollout", "promote", NAME, "-n", chat.namespace)
        assert ended.code == Exit.OK, ended.log
        after = await chat.settled(NAME)
    # then
    assert after["status"]["serving"]["version"] == "tiny-b"
    _swapped(story, before, after)
    old, new = (each["status"]["serving"]["rollout"] for each in (before, after))
    assert story.ended(old) < story.first_pod(new), "no pod comes before the old one has ended"
    assert story.steps == [Step.AWAITING_PROMOTION, *SWAPPED]
    await chat.tells(NAME, "Swapping", "nobody answers until it is verified")


async def test_a_version_that_fails_in_the_place_of_another_makes_room_for_it_again(
    chat: Lab, cluster: Cluster
) -> None:
    # given
    before = await chat.settled(NAME)
    serving = before["status"]["serving"]
    rollout = {"strategy": "Swap", "promotion": "Automatic", "progressDeadlineSeconds": DEADLINE_SECONDS}
    broken = {"extraArgs": ["--attention-backend=NO_SUCH"]}
    async with _told(chat) as story:
        # when
        await chat.edit(NAME, modelVersion="tiny-a", engine=broken, rollout=rollout)
        await chat.says(NAME, "RolledBack", within=ENGINE_START_SECONDS)
        live = await chat.until(
            resources.LLM_DEPLOYMENT, NAME, lambda obj: obj["status"].get("serving") == serving
        )
    # then what served serves again, and all who ask are told why
    stalled = condition(live, "Stalled") or {}
    assert stalled["reason"] == "RolledBack"
    assert "NO_SUCH" in stalled["message"]
    assert "tiny-b, as before, serves on" in stalled["message"]
    last = live["status"]["history"][0]
    assert [last["version"], last["outcome"]] == ["tiny-a", "RolledBack"]
    assert "NO_SUCH" in last["message"]
    await chat.tells(NAME, "RolledBack", "NO_SUCH")
    ended = await rollout_wait(cluster, chat.namespace, NAME, 10)
    assert ended.code == Exit.FAILED, ended.log
    # and nobody else ever answered
    assert {each.version for each in story.outcomes if each.served} == {"tiny-b"}
    assert not [each for each in story.failed if each.pieces]
    assert not switches(story.service.seen), "the Service never selected what failed"


async def test_without_room_a_surge_becomes_a_swap_after_a_while(chat: Lab) -> None:
    # given
    before = await chat.until(resources.LLM_DEPLOYMENT, NAME, lambda obj: bool(obj["status"].get("serving")))
    rollout = {"strategy": "BlueGreen", "capacity": "SurgeThenSwap", "progressDeadlineSeconds": 1800}
    async with _told(chat) as story:
        # when
        await chat.edit(NAME, modelVersion="tiny-a", engine={"extraArgs": None}, rollout=rollout)
        # then it says what it lacks
        assert "Insufficient nvidia.com/gpu" in await chat.says(NAME, "Unschedulable")
        after = await chat.settled(NAME)
    assert after["status"]["serving"]["version"] == "tiny-a"
    _swapped(story, before, after)
    old, new = (each["status"]["serving"]["rollout"] for each in (before, after))
    waited = story.colour(old).told - story.first_pod(new)
    assert waited > PATIENCE_SECONDS, "the old pod served while there was hope"
    assert set(SWAPPED) <= set(story.steps)


async def test_a_rollout_that_waits_for_room_says_how_much_is_short_and_goes_on_when_there_is_some(
    chat: Lab,
) -> None:
    # given
    before = await chat.settled(NAME)
    pods = uids(await chat.pods(NAME))
    async with _told(chat) as story:
        # when
        await chat.edit(NAME, modelVersion="tiny-b", rollout={"capacity": "Wait"})
        # then
        assert (
            f"it asks for 1 x {HELD} nvidia.com/gpu, the nodes have {2 * HELD} in all, and 1 of this "
            "deployment's pods hold some already; the scheduler says: 0/1 nodes are available: "
            "1 Insufficient nvidia.com/gpu"
        ) in await chat.says(NAME, "InsufficientAccelerators")
        live = await chat.get(resources.LLM_DEPLOYMENT, NAME)
        assert live["status"]["rollout"]["step"] == Step.AWAITING_CAPACITY
        assert "deadline" not in live["status"]["rollout"]
        assert live["status"]["serving"] == before["status"]["serving"]
        await story.goes_on()
        assert pods < uids(await chat.pods(NAME))
        # when somebody makes room
        await chat.delete(resources.LLM_DEPLOYMENT, NEIGHBOUR)
        after = await chat.settled(NAME)
    # then
    assert after["status"]["serving"]["version"] == "tiny-b"
    assert not story.failed, story.failed[:3]
    assert story.long.versions() == story.short.versions() == ["tiny-a", "tiny-b"]
