"""The reloads of a pod: one at a time, the same order once, and an end to them when the pod ends."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.pointer import Target, has_snapshot
from sluicegate_engine.reload.order import Mode, Order
from sluicegate_engine.reload.progress import ReloadOutcome, ReloadProgress
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.reload.transaction import Pod, Transaction
from sluicegate_engine.spans import reload_spans
from sluicegate_engine.status import Phase
from sluicegate_engine.tracer import Tracer

_LOG = logging.getLogger("sluicegate_engine")


class OrderError(Exception):
    """An order that is not taken: HTTP status, CamelCase reason, and what is wrong."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Reloads:
    """`outcomes` and `seconds`, by phase, are of all reloads that have ended."""

    def __init__(self, pod: Pod, tracer: Tracer) -> None:
        self._pod = pod
        self._tracer = tracer
        self._staged: str | None = None
        self._transaction: Transaction | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    async def fetch_missing(self, target: Target) -> None:
        """Have the store bring a model that this pod shall start with and has no files of.

        A pointer that has moved while the container was down leads to one. Raises FatalError SnapshotMissing.
        """
        if target.source is None or has_snapshot(self._pod.models, target):
            return
        try:
            await self._pod.store.ingest(target, (target,))
        except RefusedError as error:
            raise FatalError("SnapshotMissing", error.message) from None

    def begin(self, order: Order) -> None:
        """Take an order: begin it, unless it is what is under way or done already. Raises OrderError."""
        status = self._pod.status
        last = status.reload
        stands = last is not None and (not last.ended or last.outcome is ReloadOutcome.STAGED)
        if last is not None and stands and last.order.repeats(order):
            return
        # By this container, or by an earlier one of the pod.
        if order.mode is Mode.SWITCH and (order.sequence, order.target.digest) == status.committed:
            return
        if last is not None and not last.ended:
            said = f"the reload to {last.order.target.version} is under way; cancel it or wait for its end"
            raise OrderError(409, "ReloadUnderWay", said)
        if status.phase is not Phase.SERVING:
            raise OrderError(503, "NotServing", f"this pod is {status.phase.value}")
        if order.sequence <= status.sequence:
            said = f"this pod has committed sequence {status.sequence}; give a greater one"
            raise OrderError(409, "SequenceStale", said)
        status.reload = ReloadProgress(order, status.clock)
        transaction = self._transaction = Transaction(self._pod, order, status.reload)
        self._task = asyncio.create_task(self._run(transaction, status.reload))

    def cancel(self) -> None:
        """Give up the reload that is under way, or the weights that one has left staged."""
        last = self._pod.status.reload
        if self._transaction is not None:
            self._transaction.cancel()
        elif last is not None and last.outcome is ReloadOutcome.STAGED:
            last.end(ReloadOutcome.CANCELLED, "Cancelled", "the staged weights were given up on order")
            self._staged = None
            self._task = asyncio.create_task(self._release())

    async def end(self) -> None:
        """Give up what is under way, and wait until it has ended. Raises its FatalError."""
        if self._transaction is not None:
            self._transaction.cancel()
        if self._task is not None:
            await self._task
        if self._failed.done():
            self._failed.result()

    def abandon(self) -> None:
        """Leave what is under way as it is: the engine ends, and nobody is to be let in to it any more."""
        if self._task is not None:
            self._task.cancel()

    async def fail(self) -> None:
        """Wait for a reload after which the container has to end. Raises its FatalError."""
        await asyncio.shield(self._failed)

    async def _run(self, transaction: Transaction, progress: ReloadProgress) -> None:
        order = progress.order
        try:
            if self._staged not in (None, order.target.digest):
                await self._release()
            held, self._staged = self._staged == order.target.digest, None
            _LOG.info("reload to %s, sequence %d: %s", order.target.version, order.sequence, order.mode)
            await transaction.run(staged=held)
            if progress.outcome is ReloadOutcome.STAGED:
                self._staged = order.target.digest
        except FatalError as error:
            return self._failed.set_exception(error)
        finally:
            self._transaction = None
        self.outcomes[str(progress.outcome)] += 1
        self.seconds.update(progress.seconds)
        trace = self._tracer.enter()
        spans = reload_spans(trace, progress)
        self._tracer.export(trace, lambda: spans)
        _LOG.info("reload to %s: %s %s", order.target.version, progress.outcome, progress.message)

    async def _release(self) -> None:
        try:
            await self._pod.ranks.release()
        except (RefusedError, ConnectionError) as error:
            _LOG.warning("staged weights could not be given back: %s", error)
