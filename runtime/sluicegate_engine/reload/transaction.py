"""One reload from beginning to end: `Transaction.run` tells it in order.

Until the gate holds, nothing that serves is touched, and whatever is wrong is a refusal. From the pause on
nothing reads a file or takes memory, and whatever is wrong is undone and proven undone. What can be neither
ends the container, which comes back on what was committed last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sluicegate_engine.admission import Admission
from sluicegate_engine.fatal import FatalError
from sluicegate_engine.link import Command, SupervisorLink
from sluicegate_engine.pointer import Target, snapshot_directory
from sluicegate_engine.reload.capability import EngineFacts, Way, way_for
from sluicegate_engine.reload.committed import Committed, write_committed
from sluicegate_engine.reload.memory import container_room, require_room, staging_bytes
from sluicegate_engine.reload.order import Mode, Order
from sluicegate_engine.reload.preflight import compare
from sluicegate_engine.reload.progress import ReloadOutcome, ReloadPhase, ReloadProgress
from sluicegate_engine.reload.proof import Prover
from sluicegate_engine.reload.ranks import Ranks
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.reload.snapshot import read_snapshot
from sluicegate_engine.reload.store import StoreClient
from sluicegate_engine.status import Phase, Status

_T = TypeVar("_T")
_LOG = logging.getLogger("sluicegate_engine")
_ABORTED_SECONDS = 10.0
"""For the last requests to end once they are aborted."""
CANCELLED = "Cancelled"


@dataclass(frozen=True)
class Pod:
    """What a reload works on. `record` is the file of what this pod has committed; times are in seconds.

    `hold_seconds`: how long new requests are held before they are turned away. `quiesce_seconds`: how long
    those in flight may need before they are aborted.
    """

    status: Status
    link: SupervisorLink
    ranks: Ranks
    store: StoreClient
    prover: Prover
    models: Path
    record: Path
    hold_seconds: float
    quiesce_seconds: float

    @property
    def serving(self) -> Target:
        assert self.status.target is not None, "a pod that serves knows what it serves"
        return self.status.target

    def admit(self, admission: Admission) -> None:
        self.link.send(Command(admission, self.serving.version))


class Transaction:
    """A reload to what `order` says, shown in `progress`."""

    def __init__(self, pod: Pod, order: Order, progress: ReloadProgress) -> None:
        self._pod = pod
        self._order = order
        self._progress = progress
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """Give up as soon as that is safe; past the commit this does nothing."""
        self._cancelled.set()

    async def run(self, *, staged: bool) -> None:
        """Returns with an outcome. `staged`: the ranks hold these weights already.

        Raises FatalError where what was done could not be undone.
        """
        try:
            if not staged:
                await self._stage()
            self._stop_if_cancelled()
            if self._order.mode is Mode.STAGE:
                return self._progress.end(ReloadOutcome.STAGED)
            before = await self._pod.ranks.checksums(staged=False)
            after = await self._pod.ranks.checksums(staged=True)
        except Exception as error:
            return await self._refuse(_as_refusal(error))
        try:
            async with self._held():
                await self._quiesce()
                await self._switch(before, after)
        except FatalError:
            raise
        except Exception as error:
            await self._refuse(_as_refusal(error))

    async def _stage(self) -> None:
        """Everything that can be found wrong while serving, and the new weights laid ready."""
        pod, target = self._pod, self._order.target
        facts = await self._unless_cancelled(pod.ranks.describe())
        way = way_for(facts)
        self._progress.enter(ReloadPhase.INGESTING)
        await self._unless_cancelled(pod.store.ingest(target, (pod.serving, target)))
        self._progress.enter(ReloadPhase.STAGING)
        await self._unless_cancelled(asyncio.to_thread(self._inspect, facts, way))
        await self._unless_cancelled(pod.ranks.stage(snapshot_directory(pod.models, target)))

    def _inspect(self, facts: EngineFacts, way: Way) -> None:
        pod = self._pod
        serving = read_snapshot(snapshot_directory(pod.models, pod.serving))
        wanted = read_snapshot(snapshot_directory(pod.models, self._order.target))
        compare(serving, wanted)
        require_room(container_room(), staging_bytes(wanted.tensors.values(), facts, way))

    async def _refuse(self, error: RefusedError) -> None:
        """End without having touched what serves, and give back what was staged."""
        try:
            await self._pod.ranks.release()
        except (RefusedError, ConnectionError) as second:
            _LOG.warning("staged weights could not be given back: %s", second)
        cancelled = error.reason == CANCELLED
        outcome = ReloadOutcome.CANCELLED if cancelled else ReloadOutcome.REFUSED
        self._progress.end(outcome, error.reason, error.message)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Hold new requests; past the bound, turn them away and be not ready.

        Then lets them in again, to the version that is served by then. After a FatalError none is.
        """
        self._progress.enter(ReloadPhase.HOLDING)
        self._pod.admit(Admission.HOLDING)
        bound = asyncio.create_task(self._turn_away_in_time())
        try:
            yield
        except FatalError:
            raise
        except Exception:
            self._let_in()
            raise
        else:
            self._let_in()
        finally:
            bound.cancel()

    def _let_in(self) -> None:
        self._pod.status.held_too_long = False
        self._pod.admit(Admission.OPEN)

    async def _turn_away_in_time(self) -> None:
        await asyncio.sleep(self._pod.hold_seconds)
        self._pod.status.held_too_long = True
        self._pod.admit(Admission.CLOSED)

    async def _quiesce(self) -> None:
        """Wait until nothing is in flight, or its time is over. Raises RefusedError Cancelled."""
        self._progress.enter(ReloadPhase.QUIESCING)
        try:
            async with asyncio.timeout(self._pod.quiesce_seconds):
                await self._unless_cancelled(self._pod.ranks.quiet())
        except TimeoutError:
            _LOG.warning("requests in flight are aborted: they have not ended in time for the reload")

    async def _switch(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Pause, copy, check, prove, commit; or back. Raises FatalError where there is no way back.

        `before` and `after` are checksums of the weights that serve and of those that shall.
        """
        ranks = self._pod.ranks
        try:
            self._progress.enter(ReloadPhase.COPYING)
            await self._pause()
            await ranks.switch()
            self._progress.enter(ReloadPhase.CHECKING)
            _require_equal(after, await ranks.checksums(staged=False))
            await ranks.resume()
            self._progress.enter(ReloadPhase.PROVING)
            await self._prove()
            self._stop_if_cancelled()
            self._commit()
        except Exception as error:
            return await self._roll_back(before, _as_refusal(error))
        await self._conclude()

    async def _pause(self) -> None:
        """Abort what is left, empty the engine's caches, and let it begin nothing."""
        await self._pod.ranks.pause()
        async with asyncio.timeout(_ABORTED_SECONDS):
            await self._pod.ranks.quiet()

    async def _prove(self) -> None:
        await self._pod.prover.generate()
        await self._pod.prover.hold_golden(self._order.golden)

    def _commit(self) -> None:
        """From here on this model is what the pod serves and comes back with."""
        order, status = self._order, self._pod.status
        write_committed(self._pod.record, Committed(order.sequence, order.target))
        status.target, status.sequence = order.target, order.sequence
        if status.phase is Phase.SERVING:
            status.enter(Phase.SERVING, str(order.target))

    async def _conclude(self) -> None:
        try:
            await self._pod.ranks.release()
        except (RefusedError, ConnectionError) as error:
            _LOG.warning("the weights before could not be given back: %s", error)
        self._progress.end(ReloadOutcome.COMMITTED)

    async def _roll_back(self, before: Sequence[str], cause: RefusedError) -> None:
        """Serve what served before, and prove that it does. Raises FatalError RollbackFailed."""
        self._progress.enter(ReloadPhase.ROLLING_BACK)
        _LOG.warning("the reload is rolled back: %s", cause)
        ranks = self._pod.ranks
        try:
            await ranks.pause()
            await ranks.restore()
            _require_equal(before, await ranks.checksums(staged=False))
            await ranks.resume()
            await self._pod.prover.generate()
            await ranks.release()
        except Exception as error:
            said = f"{cause}; and what served before could not be brought back: {error}"
            raise FatalError("RollbackFailed", said) from error
        cancelled = cause.reason == CANCELLED
        outcome = ReloadOutcome.CANCELLED if cancelled else ReloadOutcome.ROLLED_BACK
        self._progress.end(outcome, cause.reason, cause.message)

    async def _unless_cancelled(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work. Raises RefusedError Cancelled when that comes first."""
        task, cancelled = asyncio.create_task(work), asyncio.create_task(self._cancelled.wait())
        try:
            await asyncio.wait((task, cancelled), return_when=asyncio.FIRST_COMPLETED)
            self._stop_if_cancelled()
            return task.result()
        finally:
            task.cancel()
            cancelled.cancel()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise RefusedError(CANCELLED, "it was given up on order")


def _require_equal(wanted: Sequence[str], found: Sequence[str]) -> None:
    for rank, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if one != other:
            said = f"rank {rank}: its weights' checksum is {other}, and {one} was to be"
            raise RefusedError("ChecksumMismatch", said)


def _as_refusal(error: Exception) -> RefusedError:
    """A failure in the words of one: what the engine, the disk or a defect of ours say."""
    match error:
        case RefusedError():
            return error
        case FatalError():
            return RefusedError(error.reason, error.message)
        case TimeoutError():
            return RefusedError("NotQuiesced", "requests in flight did not end, not even aborted")
        case ConnectionError():
            return RefusedError("EngineLost", str(error))
        case OSError():
            return RefusedError("RecordFailed", f"the record of the commit could not be written ({error})")
    _LOG.error("a defect in a reload", exc_info=error)
    return RefusedError("InternalError", f"{type(error).__name__}: {error}; see the engine container's log")
