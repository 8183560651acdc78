"""The gate of golden prompts: new pods find recorded answers about as likely as the recorded engine did.

Nothing is generated, so nothing depends on a choice between two tokens that are almost as likely: each token
of the recorded answer is put after the recorded ones before it, and its log-probability compared.
"""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Any

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.golden import GoldenPolicy, GoldenPrompt, GoldenPromptsGate
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.colours import Colour
from sluicegate.core.fingerprint import fingerprint
from sluicegate.core.gate import Gate, asked_at, refused
from sluicegate.core.naming import digest_of
from sluicegate.core.objects import uid
from sluicegate.core.observed import Scores
from sluicegate.core.plan import Score, Text
from sluicegate.core.problem import Problem
from sluicegate.core.reading import read
from sluicegate.core.template import served_model_name
from sluicegate.core.world import World


def gate(known: World, colour: Colour) -> Gate:
    """Whether the golden prompts let the colour serve."""
    asked, recorded = known.deployment.spec.rollout.verification.golden_prompts, _recorded(known, colour)
    if asked.policy is GoldenPolicy.SKIP:
        return Gate(opens=True, note=f"golden prompts skipped: {asked.skip_reason}")
    if not recorded and asked.policy is GoldenPolicy.IF_RECORDED:
        return Gate(opens=True)
    engine = _engine(known, colour)
    comparable = _comparable(recorded, engine)
    if not comparable:
        return _not_comparable(asked.policy, colour, engine)
    texts = tuple(Text(each.name, each.prompt, each.tokens) for each in comparable)
    subject = f"golden/{colour.id}/{digest_of([[t.name, t.prompt, t.tokens] for t in texts], 12)}"
    scores = known.seen.scores.get(subject)
    if scores is None or scores.error or scores.version != colour.version:
        return Gate(opens=False, problem=_unanswered(scores), asks=_questions(known, colour, subject, texts))
    refusal = f"golden prompt {scores.refusal}" if scores.refusal else None
    wrong = refusal or next(filter(None, (_mismatch(each, scores, asked) for each in comparable)), None)
    if wrong:
        return refused(known, Reason.GOLDEN_PROMPTS_FAILED, wrong, "spec or golden prompts change")
    return Gate(opens=True, note=f"golden prompts held: {', '.join(each.name for each in comparable)}")


def to_prove(known: World, colour: Colour) -> tuple[dict[str, Any], ...]:
    """The golden prompts by which a pod of the colour can prove itself, as its runtime is told them."""
    asked = known.deployment.spec.rollout.verification.golden_prompts
    if asked.policy is GoldenPolicy.SKIP:
        return ()
    return tuple(
        {
            "name": each.name,
            "prompt": list(each.prompt),
            "tokens": list(each.tokens),
            "logProbabilities": [value / 1000 for value in each.log_probabilities_milli_nats],
            "tolerance": asked.max_difference_milli_nats / 1000,
        }
        for each in _comparable(_recorded(known, colour), _engine(known, colour))
    )


def lacking(known: World, colour: Colour) -> Problem | None:
    """Why its pods could not prove themselves, where they have to."""
    asked, engine = known.deployment.spec.rollout.verification.golden_prompts, _engine(known, colour)
    if asked.policy is not GoldenPolicy.REQUIRED or _comparable(_recorded(known, colour), engine):
        return None
    return _not_comparable(asked.policy, colour, engine).problem


def _comparable(recorded: tuple[GoldenPrompt, ...], engine: str | None) -> tuple[GoldenPrompt, ...]:
    return tuple(prompt for prompt in recorded if prompt.recorded_with == engine)


def _questions(known: World, colour: Colour, subject: str, texts: tuple[Text, ...]) -> tuple[Score, ...]:
    url, model = asked_at(known, colour), served_model_name(known.deployment)
    return (Score(subject, url, model, texts, "golden prompts have to hold"),) if url else ()


def _recorded(known: World, colour: Colour) -> tuple[GoldenPrompt, ...]:
    found = known.seen.model_versions.get(colour.version)
    try:
        return read(ModelVersion, found).spec.golden_prompts if found else ()
    except ValidationError:
        return ()


def _engine(known: World, colour: Colour) -> str | None:
    """The fingerprint of its pods; None where they don't say which vLLM they run, or not the same one."""
    heard = (known.seen.runtimes.get(uid(pod)) for pod in colour.ready_pods)
    versions = {status.vllm if status else None for status in heard}
    vllm = versions.pop() if len(versions) == 1 else None
    return fingerprint(colour.record.template, vllm) if vllm else None


def _not_comparable(policy: GoldenPolicy, colour: Colour, engine: str | None) -> Gate:
    unknown, other = "its pods do not tell one version of vLLM", f"none of {colour.version} was recorded with"
    what = f"{other} {engine}" if engine else unknown
    if policy is GoldenPolicy.IF_RECORDED:
        return Gate(opens=True, note=f"golden prompts not compared: {what}")
    text = f"golden prompts are required, and {what}: record some, or set another policy"
    return Gate(opens=False, problem=Problem(Reason.GOLDEN_PROMPTS_MISSING, text))


def _unanswered(scores: Scores | None) -> Problem | None:
    if scores is None:
        return None
    said = scores.error or f"version {scores.version} answered"
    return Problem(Reason.GOLDEN_PROMPTS_UNANSWERED, f"golden prompts: {said}", stalled=False)


def _mismatch(prompt: GoldenPrompt, scores: Scores, asked: GoldenPromptsGate) -> str | None:
    """The first token that is not as it was recorded."""
    most, count = asked.max_difference_milli_nats, len(prompt.tokens)
    seen = scores.log_probabilities.get(prompt.name, ())[:count]
    pairs = zip_longest(seen, prompt.log_probabilities_milli_nats)
    for position, (now, then) in enumerate(pairs, start=1):
        where, recorded = f"golden prompt {prompt.name}, token {position} of {count}", f"{then / 1000:.3f}"
        if now is None or not math.isfinite(now):
            return f"{where}: the log-probability is no finite number ({now}); recorded was {recorded}"
        if abs(round(now * 1000) - then) > most:
            allowed = f"{recorded}, {most / 1000:.3f} more or less"
            return f"{where}: log-probability {now:.3f}; recorded was {allowed}"
    return None
