"""What runs in model pods: each serves its pointer's files until it is told to change. Times in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sluicegate.core.observed import Reloading

Verdict = tuple[str, str, str]
"""Outcome, reason and message with which one ends what it was told."""


@dataclass(frozen=True)
class Pace:
    """How long they take to bring files and to change to them, and how they end what they were told.

    `end` is asked of the order's body; None means that it goes well.
    """

    stage: float
    switch: float
    end: Callable[[Mapping[str, Any]], Verdict | None]


@dataclass(frozen=True)
class Order:
    """What one was told, when, and whether its files lay ready by then. It is given up, or over, by the
    outcome."""

    body: Mapping[str, Any]
    began: float
    ready: bool
    outcome: str | None = None
    reason: str = ""
    message: str = ""

    @property
    def id(self) -> tuple[Any, ...]:
        return self.body["digest"], self.body["sequence"], self.body["mode"]


@dataclass(frozen=True)
class Engine:
    """What one serves, and with which sequence it changed to it; 0 where it began with it."""

    pointer: Mapping[str, Any]
    sequence: int = 0
    order: Order | None = None
    served: tuple[str, ...] = ()
    """The versions that it served before."""

    @property
    def version(self) -> str:
        return str(self.pointer["version"])

    def told(self) -> Reloading | None:
        if self.order is None:
            return None
        body, order = self.order.body, self.order
        return Reloading(
            body["digest"], body["sequence"], body["mode"], order.outcome, order.reason, order.message
        )


def started(pointer: Mapping[str, Any], before: Engine | None) -> Engine:
    """A container that starts: with the newer of its pointer and of what it changed to itself."""
    if before is not None and before.sequence > pointer.get("sequence", 0):
        return replace(before, order=None)
    return Engine(pointer)


def ordered(engine: Engine, body: Mapping[str, Any], now: float) -> Engine | str:
    """One that is told to change; a text says why it does not take the order."""
    order = engine.order
    same = order is not None and order.id == (body["digest"], body["sequence"], body["mode"])
    if order is not None and same and order.outcome in (None, "Staged", "Committed"):
        return engine
    if body["sequence"] <= engine.sequence:
        return f"SequenceStale: {body['sequence']} is not after {engine.sequence}"
    if order is not None and order.outcome is None:
        return "ReloadUnderWay: another one is under way"
    ready = order is not None and order.outcome == "Staged" and order.body["digest"] == body["digest"]
    return replace(engine, order=Order(body, now, ready))


def cancelled(engine: Engine) -> Engine:
    order = engine.order
    if order is None or order.outcome not in (None, "Staged"):
        return engine
    return replace(engine, order=replace(order, outcome="Cancelled", reason="Cancelled"))


def due(engine: Engine, pace: Pace) -> float | None:
    """When it goes on, if it is at something."""
    order = engine.order
    if order is None or order.outcome is not None:
        return None
    staged = order.began + (0.0 if order.ready else pace.stage)
    refuses = (pace.end(order.body) or ("",))[0] == "Refused"
    return staged if refuses or order.body["mode"] == "Stage" else staged + pace.switch


def went_on(engine: Engine, pace: Pace, now: float) -> Engine:
    """One after the time that has passed."""
    order, at = engine.order, due(engine, pace)
    if order is None or at is None or now < at:
        return engine
    mode, verdict = order.body["mode"], pace.end(order.body)
    if verdict is not None and (verdict[0] == "Refused" or mode == "Switch"):
        outcome, reason, message = verdict
        return replace(engine, order=replace(order, outcome=outcome, reason=reason, message=message))
    if mode == "Stage":
        return replace(engine, order=replace(order, outcome="Staged"))
    body = order.body
    pointer = {key: body[key] for key in ("version", "digest", "source")}
    over = replace(order, outcome="Committed")
    return Engine(pointer, body["sequence"], over, (*engine.served, engine.version))
