"""Golden prompts: what an engine made of them once, and how far from that a new version's may be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sluicegate.api.meta import NAME_PATTERN, Change, ListType, Model, Rule

LONGEST_ANSWER = 64
"""Tokens of a recorded answer."""
MOST_PROMPTS = 16
LONGEST_ENGINE = 512

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]


class GoldenPrompt(Model):
    """A prompt, and what one engine made of it with these files. kubectl sluice golden record writes it."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN), Change.OPERATOR]
    """What messages call it."""
    recorded_with: Annotated[str, Field(min_length=1, max_length=LONGEST_ENGINE), Change.OPERATOR]
    """Engine that answered: vLLM's version and the flags that its arithmetic depends on. Other engines may
    say something else with the same files and are not compared."""
    prompt: Annotated[
        tuple[TokenId, ...], Field(min_length=1, max_length=1024), ListType.ATOMIC, Change.OPERATOR
    ]
    """Token ids of the prompt."""
    tokens: Annotated[
        tuple[TokenId, ...], Field(min_length=1, max_length=LONGEST_ANSWER), ListType.ATOMIC, Change.OPERATOR
    ]
    """Token ids of the answer."""
    log_probabilities_milli_nats: Annotated[
        tuple[Annotated[int, Field(ge=-10_000_000, le=0)], ...],
        Field(min_length=1, max_length=LONGEST_ANSWER),
        ListType.ATOMIC,
        Change.OPERATOR,
    ]
    """Log-probability of each token of the answer after those before it, in thousandths of a nat."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.tokens.size() == self.logProbabilitiesMilliNats.size()",
            message="each of tokens has one of logProbabilitiesMilliNats",
            holds=lambda g: len(g.tokens) == len(g.log_probabilities_milli_nats),
        ),
    )


class GoldenPolicy(StrEnum):
    """When golden prompts are asked."""

    REQUIRED = "Required"
    """Always: a version without any that was recorded with its engine does not serve."""
    IF_RECORDED = "IfRecorded"
    """Where the ModelVersion has some that were recorded with its engine."""
    SKIP = "Skip"
    """Never, for a reason that is on record."""


class GoldenPromptsGate(Model):
    """How a new version is held to the golden prompts of its ModelVersion before it may serve."""

    policy: Annotated[GoldenPolicy, Change.OPERATOR] = GoldenPolicy.IF_RECORDED
    """IfRecorded asks those that were recorded with the engine that the new pods run. Required lets no
    version serve without one; Skip asks none, and says why in skipReason."""
    max_difference_milli_nats: Annotated[int, Field(ge=1, le=100_000), Change.OPERATOR] = 500
    """Greatest difference between the log-probability of a token and the recorded one, in thousandths of a
    nat. 16-bit weights were seen to differ by 210 with nothing changed but the requests beside it."""
    skip_reason: Annotated[str | None, Field(min_length=1, max_length=256), Change.OPERATOR] = None
    """Why they are skipped: it is shown with the rollout and kept in its history. Only with policy Skip."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.policy == 'Skip') == has(self.skipReason)",
            message="skipReason is required with policy Skip and not allowed with any other",
            holds=lambda g: (g.policy is GoldenPolicy.SKIP) == (g.skip_reason is not None),
        ),
    )
