"""What runs in the model pods of a Cluster: each serves its pointer's files, until it is told to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sluicegate.core.observed import Reloading

STAGE = timedelta(seconds=1)
SWITCH = timedelta(seconds=0.5)

Verdict = tuple[str, str, str]
"""Outcome, reason and message with which pods end a change to a version."""


@dataclass(frozen=True)
class Order:
    """What one was told, when, and whether its files lay ready by then. It is given up, or over, by the
    outcome."""

    body: Mapping[str, Any]
    began: datetime
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


def ordered(engine: Engine, body: Mapping[str, Any], now: datetime) -> Engine | str:
    """One that is told to change; a text says why it does not take the order."""
    order = engine.order
    if order is not None and order.id == (body["digest"], body["sequence"], body["mode"]):
        if order.outcome in (None, "Staged", "Committed"):
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


def went_on(engine: Engine, ends: Mapping[str, Verdict], stuck: set[str], now: datetime) -> Engine:
    """One after the time that has passed."""
    order = engine.order
    if order is None or order.outcome is not None or order.body["version"] in stuck:
        return engine
    mode, verdict = order.body["mode"], ends.get(order.body["version"])
    staged = order.began + (timedelta(0) if order.ready else STAGE)
    if now < staged:
        return engine
    if verdict is not None and (verdict[0] == "Refused" or mode == "Switch"):
        outcome, reason, message = verdict
        return replace(engine, order=replace(order, outcome=outcome, reason=reason, message=message))
    if mode == "Stage":
        return replace(engine, order=replace(order, outcome="Staged"))
    if now < staged + SWITCH:
        return engine
    body = order.body
    pointer = {key: body[key] for key in ("version", "digest", "source")}
    over = replace(order, outcome="Committed")
    return Engine(pointer, body["sequence"], over, (*engine.served, engine.version))
