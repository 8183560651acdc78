"""Changes of version in a row under streams that never pause: no answer is lost, mixed or unverified.

ROLLOUTS=10 makes ten of them.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import Streamed, streaming
from e2e.lab.switches import Colour, Switch, colours, switches
from e2e.lab.traffic import Record
from e2e.lab.watcher import Sightings, watching
from sluicegate.api.v1alpha1.llmdeployment import Step
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
ROLLOUTS = int(os.environ.get("ROLLOUTS") or "3")
STREAMS = 8
FLOWING = 4
"""Streams that bring something in every second, whatever a busy machine does to the others."""
PAUSE_SECONDS = 0.05
TOKENS = 32
"""Of an answer: it is under way for most of the time, so that the streams do not all pause at once."""
PROMPTS = ("tell me a story", "how far is the moon", "name three rivers")
VERSIONS = ("tiny-b", "tiny-a")
STEPS = [Step.PROVISIONING, Step.VERIFYING, Step.CUTOVER, Step.OBSERVING, Step.DRAINING]
TOLD_SECONDS = 1.0
"""From the kubelet's word that it ends a container until all processes in it know."""

Texts = dict[tuple[str, str], str]


@dataclass
class Journey:
    """What clients and watchers saw of the rollouts. `alone` is what each version says to each prompt
    when nobody else asks; `began` and `ended` are monotonic seconds."""

    alone: Texts
    record: Record[Streamed]
    status: Sightings
    service: Sightings
    pods: Sightings
    events: Sightings
    began: float
    ended: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def switches(self) -> list[Switch]:
        return switches(self.service.seen)

    @property
    def colours(self) -> list[Colour]:
        """Those that served, in their order."""
        served = [self.status.seen[0].object["status"]["serving"]["rollout"]]
        found = colours(self.pods.seen, self.events.seen)
        return [found[each] for each in (*served, *(each.rollout for each in self.switches))]

    def step(self, second: int) -> str:
        """Of the rollout, as the status told it when that second began; empty between two."""
        *_, last = (each for each in self.status.seen if each.at <= self.began + second)
        return str((last.object["status"].get("rollout") or {}).get("step", ""))

    def until_the_next(self, number: int) -> float:
        """When the new colour of a switch was no longer the only one to serve."""
        later = self.switches[number + 1 :]
        return later[0].added if later else self.ended


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def journey(lab: Lab, quiet: Lab) -> AsyncIterator[Journey]:
    first, second = VERSIONS
    await lab.apply(*(a_model_version(each, each) for each in VERSIONS), a_deployment(NAME, first))
    await lab.verified(*VERSIONS)
    await lab.settled(NAME)
    await quiet.settled("vllm")
    alone = await _alone(lab, NAME, first)
    # The quiet deployment serves the other version: no rollout is needed to learn what that says.
    alone |= await _alone(quiet, "vllm", second)
    assert len(set(alone.values())) == len(VERSIONS) * len(PROMPTS), "answers differ by prompt and version"
    async with (
        watching(lab.client, resources.LLM_DEPLOYMENT, lab.namespace, NAME) as status,
        watching(lab.client, resources.SERVICE, lab.namespace, NAME) as service,
        watching(lab.client, resources.POD, lab.namespace, "") as pods,
        watching(lab.client, resources.EVENT, lab.namespace, "") as events,
        streaming(
            await lab.url(NAME), PROMPTS, clients=STREAMS, tokens=TOKENS, pause=PAUSE_SECONDS
        ) as record,
    ):
        await record.grows(2 * STREAMS)
        seen = Journey(alone, record, status, service, pods, events, time.monotonic())
        for number in range(1, ROLLOUTS + 1):
            began = time.monotonic()
            await lab.edit(NAME, modelVersion=VERSIONS[number % 2])
            await lab.settled(NAME)
            seen.seconds.append(time.monotonic() - began)
        await record.grows(2 * STREAMS)
        seen.ended = time.monotonic()
    taken = ", ".join(f"{each:.0f}" for each in seen.seconds)
    print(f"{len(record.outcomes)} requests, {len(record.failed)} failed; rollouts took {taken} s")
    yield seen


async def _alone(lab: Lab, name: str, version: str) -> Texts:
    async with streaming(await lab.url(name), PROMPTS, clients=1, tokens=TOKENS) as record:
        await record.grows(len(PROMPTS))
    assert not record.failed, record.failed[:3]
    assert record.versions() == [version]
    return {(version, each.prompt): each.text or "" for each in record.served}


async def test_no_request_fails_and_no_answer_is_cut_short(journey: Journey) -> None:
    assert not journey.record.failed, journey.record.failed[:3]


async def test_answers_flowed_in_every_second(journey: Journey) -> None:
    flowing: dict[int, set[int]] = defaultdict(set)
    for each in journey.record.outcomes:
        for piece in each.pieces:
            flowing[int(piece - journey.began)].add(each.connection[0])
    seconds = range(int(journey.ended - journey.began))
    dry = {second: len(flowing[second]) for second in seconds if len(flowing[second]) < FLOWING}
    told = [
        f"{count} in second {second}, {journey.step(second) or 'at rest'}" for second, count in dry.items()
    ]
    assert not dry, f"streams that brought something: {'; '.join(told)}"


async def test_new_connections_and_open_ones_took_part(journey: Journey) -> None:
    opened = Counter(each.opens for each in journey.record.served)
    assert min(opened[True], opened[False]) > len(journey.record.served) / 4, opened


async def test_every_rollout_went_through_its_steps_in_their_order(journey: Journey) -> None:
    seen: dict[str, dict[str, None]] = {}
    versions: list[str] = []
    for sighting in journey.status.seen:
        if rollout := sighting.object["status"].get("rollout"):
            if rollout["id"] not in seen:
                versions.append(rollout["toVersion"])
            seen.setdefault(rollout["id"], {})[rollout["step"]] = None
    assert list(seen) == [each.rollout for each in journey.switches]
    assert [list(steps) for steps in seen.values()] == [STEPS] * ROLLOUTS
    assert versions == [VERSIONS[number % 2] for number in range(1, ROLLOUTS + 1)]


async def test_each_answer_is_of_the_version_that_it_names_from_beginning_to_end(journey: Journey) -> None:
    wrong = [
        each for each in journey.record.served if each.text != journey.alone[each.version or "", each.prompt]
    ]
    assert not wrong, wrong[:3]


async def test_no_version_answers_before_it_is_verified_or_after_its_pods_are_gone(journey: Journey) -> None:
    """A colour answers from the first write of its Cutover on; the steps before it were all taken."""
    since = [journey.began, *(each.added for each in journey.switches)]
    spans = [
        (VERSIONS[number % 2], start, colour.gone)
        for number, (start, colour) in enumerate(zip(since, journey.colours, strict=True))
    ]
    early = [
        each
        for each in journey.record.served
        if each.began > journey.began
        and not any(
            each.version == version and start <= each.pieces[0] and each.pieces[-1] <= gone
            for version, start, gone in spans
        )
    ]
    assert not early, early[:3]


async def test_after_a_cutover_no_new_connection_reaches_the_old_version(journey: Journey) -> None:
    for number, switch in enumerate(journey.switches):
        until = journey.until_the_next(number)
        new = [each for each in journey.record.served if each.opens and switch.ended < each.began < until]
        assert new, "clients opened connections"
        assert {each.version for each in new} == {VERSIONS[(number + 1) % 2]}, f"switch {number + 1}"


async def test_a_connection_that_is_open_gets_at_most_one_more_answer_from_pods_that_end(
    journey: Journey,
) -> None:
    for number, switch in enumerate(journey.switches):
        old, until = journey.colours[number], journey.until_the_next(number)
        assert switch.ended < old.told, "pods are told to end after the Cutover"
        assert old.heard < old.gone, "the kubelet says when"
        late = [
            each
            for each in journey.record.served
            if each.version == VERSIONS[number % 2] and old.heard + TOLD_SECONDS < each.began < until
        ]
        assert max(Counter(each.connection for each in late).values(), default=0) <= 1, late[:6]
        assert all(each.closes for each in late), late[:3]
