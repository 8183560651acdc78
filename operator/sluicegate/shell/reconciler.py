"""One pass over one custom resource: look, decide, act, report.

Nothing is carried from one pass to the next: each starts from what is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sluicegate.core import naming, objects
from sluicegate.core.objects import Manifest
from sluicegate.core.observed import SeenDeployment, SeenModelVersion
from sluicegate.core.plan import Action, Call, Create, Plan, Write, written
from sluicegate.core.problem import Problem, name_taken, write_refused
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError, BadRequest, Forbidden, Invalid, NotFound, WebhookFailed
from sluicegate.kube.resources import CONTROLLER_REVISION, Resource
from sluicegate.shell.apply import Applier, NameTaken
from sluicegate.shell.keys import Key
from sluicegate.shell.meter import Meter
from sluicegate.shell.outcome import Behind, Disabled, Done, Failed, Gone, Outcome
from sluicegate.shell.recorder import Recorder
from sluicegate.shell.runtime import RuntimeCalls
from sluicegate.shell.status import StatusWriter
from sluicegate.shell.view import PATIENCE_SECONDS, View

NAME_TAKEN_RETRY = timedelta(seconds=5)

Seen = TypeVar("Seen", SeenDeployment, SeenModelVersion)


@dataclass(frozen=True)
class Subject(Generic[Seen]):
    """A kind of custom resource: how to see one, and how to decide about what was seen."""

    resource: Resource
    gather: Callable[[Manifest], Awaitable[Seen]]
    plan: Callable[[Seen, datetime], Plan]


class Reconciler:
    """Reconciles both kinds. `now` is the wall clock."""

    def __init__(
        self,
        client: Client,
        view: View,
        applier: Applier,
        status: StatusWriter,
        calls: RuntimeCalls,
        recorder: Recorder,
        meter: Meter,
        subjects: Iterable[Subject[Any]],
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._view = view
        self._applier = applier
        self._status = status
        self._calls = calls
        self._recorder = recorder
        self._meter = meter
        self._subjects = {subject.resource.kind: subject for subject in subjects}
        self._now = now

    async def reconcile(self, key: Key) -> Outcome:
        """Raises ApiError where nothing could be decided; a failed write is an outcome."""
        subject = self._subjects[key.kind]
        # Asked before the live read, so that waiting for a cache that lags costs the API server nothing.
        if behind := await self._view.behind(key):
            return Behind(behind)
        try:
            custom_resource = await self._client.get(subject.resource, key.namespace, key.name)
        except NotFound:
            self._forget(key)
            return Gone()
        if objects.annotation(custom_resource, naming.RECONCILE) == "Disabled":
            return Disabled()
        seen = await subject.gather(custom_resource)
        plan = subject.plan(seen, self._now())
        done, failure = await self._act(key, objects.uid(custom_resource), plan.actions)
        generation = int(custom_resource["metadata"]["generation"])
        left = plan.actions[len(done) :]
        if failure and (obstacle := _obstacle(left[0], failure)):
            plan = self._before(obstacle, subject, seen)
        elif isinstance(failure, ApiError) and any(map(_is_for_the_record, left)):
            # The status tells of an ending as soon as it is decided, and this one is on no record yet.
            return Failed(generation, done, failure)
        self._meter.ready(key, _is_ready(plan))
        if failure is None and _is_news(custom_resource) and any(isinstance(each, Create) for each in done):
            # The next pass sees what was made. Until then the status does not claim to know this generation.
            return Done(generation, done, timedelta(0))
        if await self._status.write(custom_resource, plan.status):
            for event in plan.events:
                self._recorder.record(custom_resource, event)
        if isinstance(failure, ApiError):
            return Failed(generation, done, failure)
        return Done(generation, done, self._next_look(key, plan))

    async def _act(
        self, key: Key, uid: str, actions: Iterable[Action]
    ) -> tuple[tuple[Action, ...], ApiError | NameTaken | None]:
        """Carry out actions in order up to the first that fails; returns the ones done, and why it ended."""
        done: list[Action] = []
        for action in actions:
            try:
                if isinstance(action, Call):
                    self._calls.start(key, action)
                else:
                    await self._applier.write(key, uid, action)
            except (ApiError, NameTaken) as failure:
                return tuple(done), failure
            self._meter.acted(type(action).__name__)
            done.append(action)
        return tuple(done), None

    def _before(self, obstacle: Problem, subject: Subject[Seen], seen: Seen) -> Plan:
        """What to say about an obstacle. Nothing is done about it but to look again."""
        plan = subject.plan(replace(seen, obstacle=obstacle), self._now())
        return replace(plan, actions=(), requeue_after=NAME_TAKEN_RETRY)

    def _next_look(self, key: Key, plan: Plan) -> timedelta | None:
        """After how long to look again unless there is news before."""
        waits = [] if plan.requeue_after is None else [plan.requeue_after]
        if self._view.own_writes.unseen(key):
            # A watch that lags brings no news of them either.
            waits.append(timedelta(seconds=PATIENCE_SECONDS))
        return min(waits, default=None)

    def _forget(self, key: Key) -> None:
        self._view.own_writes.forget(key)
        self._calls.forget(key)
        self._status.forget(key)
        self._meter.forgotten(key)


def _obstacle(action: Action, failure: ApiError | NameTaken) -> Problem | None:
    """What a failure tells the user; None where trying again may be enough."""
    if isinstance(failure, NameTaken):
        return name_taken(failure.ref, failure.holder)
    refused = isinstance(failure, Forbidden | Invalid | BadRequest)
    if isinstance(action, Write) and (refused or isinstance(failure, WebhookFailed)):
        return write_refused(written(action), failure.message, for_good=refused)
    return None


def _is_for_the_record(action: Action) -> bool:
    return isinstance(action, Write) and written(action).kind == CONTROLLER_REVISION.kind


def _is_news(custom_resource: Manifest) -> bool:
    """Whether the status speaks of an earlier generation, or of none."""
    observed = (custom_resource.get("status") or {}).get("observedGeneration")
    return bool(observed != custom_resource["metadata"]["generation"])


def _is_ready(plan: Plan) -> bool:
    return objects.is_true({"status": plan.status}, "Ready")
