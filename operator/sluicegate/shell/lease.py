"""Leader election on a Lease: at most one operator writes.

A candidate takes over when the record has not changed for the lease's duration *by its own monotonic clock*,
so that wrong wall clocks do no harm. The leader counts from before it sent its last successful renewal and
stops writing well before anybody else may start. Election is no fence: preconditions on every write are.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluicegate.core import naming
from sluicegate.core.objects import Manifest
from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from sluicegate.kube.resources import LEASE

FIELD_MANAGER = "sluicegate"

logger = logging.getLogger(__name__)


class LeadershipLost(Exception):  # noqa: N818
    """Another operator may lead now: this one writes nothing any more and has to exit."""


@dataclass(frozen=True)
class Timing:
    """In seconds, as Kubernetes' own controllers have it: how long the record is valid, for how long after a
    renewal a leader writes, how often it renews, and how long one attempt may take.
    """

    lease: int = 15
    renew_deadline: float = 10.0
    retry: float = 2.0
    attempt: float = 5.0


class Lease:
    """One candidate, called `identity`. `acquired` is set once it leads; ask `held()` before every write.

    `client` may not be one that asks `held()` itself.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        now: Callable[[], datetime],
        jitter: random.Random,
        timing: Timing,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._now = now
        self._jitter = jitter
        self._timing = timing
        self._deadline = -math.inf
        self._observed: str | None = None
        self._valid_until = -math.inf
        self.acquired = asyncio.Event()

    def held(self) -> bool:
        return self._seconds_left() > 0

    async def run(self) -> None:
        """Campaigns until it leads, then renews; raises LeadershipLost when it can't in time."""
        while True:
            if await self._attempt(self._timing.attempt):
                break
            await asyncio.sleep(self._pause())
        logger.info("leading as %s", self._identity)
        self.acquired.set()
        while self.held():
            await asyncio.sleep(min(self._timing.retry, self._seconds_left()))
            await self._attempt(min(self._timing.attempt, self._seconds_left()))
        self.check()

    def check(self) -> None:
        """Raises LeadershipLost where this operator may not write."""
        if not self.held():
            raise LeadershipLost(f"{self._identity} does not hold the Lease (any more)")

    async def release(self) -> None:
        """Give the lease up, so that a standby need not wait for its end. Errors are only logged."""
        if not self.held():
            return
        self._deadline = -math.inf
        try:
            async with asyncio.timeout(self._timing.attempt):
                record = await self._client.get(LEASE, self._namespace, self._name)
                if record["spec"].get("holderIdentity") == self._identity:
                    await self._client.replace(self._record(record, holder=""), FIELD_MANAGER)
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease could not be released: %s", error)

    def _pause(self) -> float:
        """Until a candidate looks again: no longer than the record that it saw is valid."""
        usual = self._timing.retry * self._jitter.uniform(0.7, 0.9)
        valid = self._valid_until - asyncio.get_running_loop().time()
        return min(usual, valid) if valid > 0 else usual

    def _seconds_left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    async def _attempt(self, seconds: float) -> bool:
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                won = await self._acquire_or_renew()
        except (AlreadyExists, Conflict):
            logger.info("another candidate wrote the Lease first")
            return False
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease could not be acquired or renewed: %s", str(error) or "no answer")
            return False
        # Counted from before it was sent: the record may be as old as that.
        self._deadline = started + self._timing.renew_deadline if won else -math.inf
        return won

    async def _acquire_or_renew(self) -> bool:
        try:
            record = await self._client.get(LEASE, self._namespace, self._name)
        except NotFound:
            await self._client.create(self._record(None, holder=self._identity), FIELD_MANAGER)
            return True
        holder = record["spec"].get("holderIdentity")
        if holder and holder != self._identity and not self._expired(record):
            return False
        await self._client.replace(self._record(record, holder=self._identity), FIELD_MANAGER)
        return True

    def _expired(self, record: Manifest) -> bool:
        now = asyncio.get_running_loop().time()
        version = record["metadata"]["resourceVersion"]
        if version != self._observed:
            duration = float(record["spec"].get("leaseDurationSeconds") or self._timing.lease)
            self._observed, self._valid_until = version, now + duration
        return now >= self._valid_until

    def _record(self, current: Manifest | None, holder: str) -> dict[str, Any]:
        """The whole Lease with this holder; with the resourceVersion of `current`, so that a race is lost."""
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = current["spec"] if current else {}
        changes = current is not None and before.get("holderIdentity") != holder
        labels = {naming.PART_OF: naming.MANAGER}
        metadata = {"namespace": self._namespace, "name": self._name, "labels": labels}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": current["metadata"] if current else metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self._timing.lease if holder else 1,
                "acquireTime": now if changes else before.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": before.get("leaseTransitions", 0) + int(changes and bool(holder)),
            },
        }
