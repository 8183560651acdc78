"""The canary: the first pod that changed, which answers for the version before any other pod follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sluicegate.api.reasons import Reason
from sluicegate.core import control, gates
from sluicegate.core.addresses import pod_url
from sluicegate.core.colours import Colour
from sluicegate.core.fleet import Standing, fleet
from sluicegate.core.gate import Gate
from sluicegate.core.objects import name, uid
from sluicegate.core.observed import Answer
from sluicegate.core.plan import Action, Ask, Score
from sluicegate.core.problem import Problem
from sluicegate.core.template import SERVING_PORT, served_model_name
from sluicegate.core.world import World


def of(known: World) -> Colour | None:
    """The rollout with the first pod that serves what it brought."""
    changed = fleet(known, known.change).at(Standing.NEW)[:1] if known.change else []
    return replace(known.change.reload, pods=tuple(changed)) if known.change and changed else None


def gate(known: World) -> Gate:
    """Whether the first pod that changed answers right, and every gate lets the others follow."""
    first = of(known)
    if first is None:
        return Gate(opens=False)
    answer = known.seen.answers.get(_subject(first))
    if answer is None or answer.error is not None or answer.version != first.version:
        return Gate(opens=False, problem=_unanswered(first, answer))
    return gates.gate(known, first)


def _subject(first: Colour) -> str:
    return f"canary/{first.id}/{uid(first.pods[0])}"


def _unanswered(first: Colour, answer: Answer | None) -> Problem | None:
    if answer is None:
        return None
    said = answer.error or f"version {answer.version} answered instead of {first.version}"
    return Problem(Reason.ANSWER_FAILED, f"pod {name(first.pods[0])}: {said}", stalled=False)


def questions(known: World, first: Colour) -> Iterator[Action]:
    """What has to be asked now, so that the gate opens."""
    answer, url = known.seen.answers.get(_subject(first)), pod_url(first.pods[0], SERVING_PORT)
    told = [answer.version if answer else None, *_scored_by(known, first)]
    if any(version not in (None, first.version) for version in told):
        # It may serve something else by now than it said.
        yield from control.listen(known, first.pods[0])
    if answer is not None and answer.version == first.version:
        yield from gates.questions(known, first)
        return
    if url is not None and (answer is None or not control.recent(answer.at, known.now)):
        yield Ask(_subject(first), url, served_model_name(known.deployment), "the first pod has to answer")


def _scored_by(known: World, first: Colour) -> Iterator[str | None]:
    """The versions that golden prompts were answered by, as far as they are asked again."""
    for question in gates.gate(known, first).asks:
        if isinstance(question, Score) and (scores := known.seen.scores.get(question.subject)):
            yield scores.version
