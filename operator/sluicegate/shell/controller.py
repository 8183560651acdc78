"""Takes keys from the queue and has them reconciled, by several workers, while this operator leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

from sluicegate.kube.errors import ApiError, Conflict
from sluicegate.shell.keys import Key
from sluicegate.shell.lease import LeadershipLost
from sluicegate.shell.meter import Meter
from sluicegate.shell.outcome import Behind, Disabled, Done, Failed, Gone, Outcome
from sluicegate.shell.workqueue import WorkQueue

WORKERS = 8
# The cache's own news brings a key back at once. This is for writes that it has nothing to tell of.
BEHIND_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Controller:
    """`may_start` is awaited before the first key: the caches are synced, and we lead.

    `check` is asked before each key and raises LeadershipLost.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[Key], Awaitable[Outcome]],
        may_start: Callable[[], Awaitable[None]],
        check: Callable[[], None],
        meter: Meter,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._may_start = may_start
        self._check = check
        self._meter = meter

    async def run(self) -> None:
        """Runs until cancelled; raises LeadershipLost, in a group."""
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        await self._may_start()
        while True:
            key = await self._queue.get()
            try:
                await self._serve(key)
            finally:
                self._queue.done(key)

    async def _serve(self, key: Key) -> None:
        self._check()
        clock = asyncio.get_running_loop().time
        started = clock()
        outcome = await self._outcome(key)
        seconds = clock() - started
        self._settle(key, outcome)
        self._meter.reconciled(key.kind, _result(outcome), seconds)
        _log(key, outcome, seconds)

    async def _outcome(self, key: Key) -> Outcome | Exception:
        try:
            return await self._reconcile(key)
        except LeadershipLost:
            raise
        except Exception as error:
            # One object that cannot be reconciled may not stop the others.
            return error

    def _settle(self, key: Key, outcome: Outcome | Exception) -> None:
        """When to look at the key again."""
        match outcome:
            case Done(requeue_after=None) | Gone() | Disabled():
                self._queue.forget(key)
            case Done(requeue_after=timedelta() as after):
                self._queue.forget(key)
                self._queue.add_after(key, after.total_seconds())
            case Behind(kinds=kinds):
                for kind in kinds:
                    self._meter.stale_sync_skipped(kind)
                self._queue.add_after(key, BEHIND_SECONDS)
            case Failed(error=ApiError(retry_after=float(wanted))) | ApiError(retry_after=float(wanted)):
                self._queue.retry(key, at_least=wanted)
            case _:
                self._queue.retry(key)


def _result(outcome: Outcome | Exception) -> str:
    match outcome:
        case Done(requeue_after=None):
            return "success"
        case Done():
            return "requeue_after"
        case Failed() | Exception():
            return "error"
    return type(outcome).__name__.lower()


def _log(key: Key, outcome: Outcome | Exception, seconds: float) -> None:
    """One line for each reconcile."""
    fields = {"key": str(key), "reconcile_id": uuid4().hex[:12], "duration": round(seconds, 4)}
    match outcome:
        case Done(generation=generation, actions=actions) | Failed(generation=generation, actions=actions):
            fields["generation"] = generation
            fields["actions"] = [type(action).__name__ for action in actions]
            fields["reason"] = "; ".join(dict.fromkeys(action.reason for action in actions))
        case Behind(kinds=kinds):
            fields["kinds"] = list(kinds)
    match outcome:
        case Failed(error=Conflict() as error) | (Conflict() as error):
            # Somebody wrote between our look and our write: no fault, and the next look decides anew.
            logger.info("reconcile overtaken", extra={"fields": {**fields, "error": str(error)}})
        case Failed(error=error) | (ApiError() as error):
            logger.warning("reconcile failed", extra={"fields": {**fields, "error": str(error)}})
        case Exception():
            logger.error("reconcile failed", extra={"fields": fields}, exc_info=outcome)
        case _:
            logger.info("reconciled", extra={"fields": {**fields, "result": _result(outcome)}})
