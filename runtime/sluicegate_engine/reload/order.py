"""What the operator asks for with POST /reload."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluicegate_engine.pointer import Target


class Mode(StrEnum):
    """How far a reload goes."""

    STAGE = "Stage"
    """Until the new weights lie ready beside those that serve."""
    SWITCH = "Switch"
    """To the end."""


class MalformedError(Exception):
    """The body of an order is not one; the message says what is wrong with it."""


@dataclass(frozen=True)
class GoldenPrompt:
    """A prompt and an answer in token ids, and how likely each of the answer was: nats, give or take
    `tolerance`."""

    name: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Order:
    """A model to serve, and how far to go. `sequence` orders commits: the greater one is the later."""

    target: Target
    sequence: int
    mode: Mode
    golden: tuple[GoldenPrompt, ...] = ()

    def repeats(self, other: Order) -> bool:
        """Whether both ask for the same."""
        return (self.target.digest, self.sequence, self.mode) == (
            other.target.digest,
            other.sequence,
            other.mode,
        )


def parse_order(body: bytes) -> Order:
    """The order in a request's body. Raises MalformedError."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the body is not JSON") from None
    if not isinstance(data, dict):
        raise MalformedError("the body is not a JSON object")
    try:
        target = Target.parse(data)
    except ValueError as error:
        raise MalformedError(str(error)) from None
    if target.source is None:
        raise MalformedError('"source" must have a "uri"')
    if data.get("mode") not in list(Mode):
        raise MalformedError('"mode" must be Stage or Switch')
    sequence = data.get("sequence")
    if type(sequence) is not int or sequence < 1:
        raise MalformedError('"sequence" must be a positive integer')
    golden = [] if data.get("golden") is None else data["golden"]
    if not isinstance(golden, list):
        raise MalformedError('"golden" must be a list')
    return Order(target, sequence, Mode(data["mode"]), tuple(_golden(each) for each in golden))


def _golden(data: Any) -> GoldenPrompt:
    match data:
        case {
            "name": str(name),
            "prompt": [_, *_] as prompt,
            "tokens": [_, *_] as tokens,
            "logProbabilities": [*told],
            "tolerance": int() | float() as tolerance,
        } if (
            len(told) == len(tokens)
            and all(type(token) is int and token >= 0 for token in (*prompt, *tokens))
            and all(isinstance(each, int | float) for each in told)
        ):
            return GoldenPrompt(name, tuple(prompt), tuple(tokens), tuple(map(float, told)), float(tolerance))
    raise MalformedError(
        'each of "golden" has a name, a prompt and tokens in ids, as many logProbabilities, and a tolerance'
    )
