"""What a decision results in: ordered actions, a whole status, events, and when to look again.

Every prefix of the actions is safe to stop after, and at most one of them destroys something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from sluicegate.core.objects import Manifest, Ref, ref


@dataclass(frozen=True)
class Create:
    """First write of an object. Where the name is taken by somebody else's object: NameConflict."""

    manifest: Manifest
    reason: str


@dataclass(frozen=True)
class Apply:
    """Server-side apply of the full intent onto the object with this uid at this resourceVersion."""

    manifest: Manifest
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True)
class Replace:
    """Put spec (or data) back whole, dropping what another manager added inside it; its metadata stays."""

    manifest: Manifest
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True)
class Delete:
    """Delete the object with this uid at this resourceVersion; its dependents follow in the background."""

    ref: Ref
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True)
class SetFinalizers:
    """Write the whole list of finalizers of the object with this uid at this resourceVersion."""

    ref: Ref
    finalizers: tuple[str, ...]
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True)
class Ask:
    """Ask for one token at this URL; the answer is kept under `subject` for the next decision to see."""

    subject: str
    url: str
    model: str
    reason: str


@dataclass(frozen=True)
class Inquire:
    """Read a model pod's control port; its status is part of what the next decision sees."""

    pod: str
    pod_uid: str
    url: str
    token: str = field(repr=False)
    reason: str


class Mode(StrEnum):
    """How far a reload goes: to files that lie ready beside those that are served, or to serving them."""

    STAGE = "Stage"
    SWITCH = "Switch"


@dataclass(frozen=True)
class Reload:
    """Tell a model pod to change to other files while its engine runs, at its control port.

    `body` is sent as JSON. What the pod says of itself then is part of what the next decision sees.
    """

    pod: str
    pod_uid: str
    url: str
    token: str = field(repr=False)
    body: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class CancelReload:
    """Tell a model pod to give up what it has not changed to yet; it says of itself what came of that."""

    pod: str
    pod_uid: str
    url: str
    token: str = field(repr=False)
    reason: str


@dataclass(frozen=True)
class Text:
    """A prompt and what is to follow it, in token ids."""

    name: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """Ask for the log-probability of each text's tokens at this URL; the answer is kept under `subject`."""

    subject: str
    url: str
    model: str
    texts: tuple[Text, ...]
    reason: str


@dataclass(frozen=True)
class Consult:
    """Ask a webhook whether a rollout may go on; the reply is kept under `subject`.

    `question` is sent as JSON and names the rollout. The URL may hold a secret.
    """

    subject: str
    url: str = field(repr=False)
    question: Mapping[str, str]
    timeout_seconds: int
    reason: str


Write = Create | Apply | Replace | Delete | SetFinalizers
Call = Ask | Inquire | Reload | CancelReload | Score | Consult
Action = Write | Call


def written(write: Write) -> Ref:
    """The object that is written."""
    return write.ref if isinstance(write, Delete | SetFinalizers) else ref(write.manifest)


@dataclass(frozen=True)
class Event:
    """Something worth telling once, on a transition. `type` is Kubernetes' own pair of words."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """The outcome of a decision about one object.

    `status` is the whole status as JSON, or None to leave it alone.
    """

    actions: tuple[Action, ...] = ()
    status: dict[str, Any] | None = None
    events: tuple[Event, ...] = ()
    requeue_after: timedelta | None = None
