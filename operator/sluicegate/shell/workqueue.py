"""Which keys wait to be reconciled, and when: the part of a controller that kopf does not have.

A key waits at most once, is never handed out twice at the same time, and comes back when it was added
while it was being worked on. Fresh events are served at once; only retries are slowed down, by a back-off
of their own key and by a bucket that all of them share, so that a poisoned key delays nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum

from sluicegate.shell.keys import Key

BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 300.0
RETRIES_PER_SECOND = 20.0
RETRY_BURST = 100


class Priority(IntEnum):
    """Why a key waits; the smaller number is served first."""

    EVENT = 0
    REQUEUE = 1
    RESYNC = 2


class TokenBucket:
    """Spreads reservations to `rate` a second, after a burst of `burst` that pass at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._allowance = burst * self._interval
        self._full_at = 0.0

    def reserve(self, now: float) -> float:
        """Take one token; returns for how many seconds its taker has to wait."""
        self._full_at = max(self._full_at, now) + self._interval
        return max(0.0, self._full_at - self._allowance - now)


class WorkQueue:
    """Keys in three priorities, first come first served within each.

    Times are those of the running event loop. `on_latency(seconds)` is told how long each key had waited
    when it was handed out, `on_retry()` of each retry.
    """

    def __init__(
        self,
        on_latency: Callable[[float], None] = lambda seconds: None,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        self._waiting: dict[Priority, dict[Key, float]] = {priority: {} for priority in Priority}
        self._available = asyncio.Semaphore(0)
        self._in_work: set[Key] = set()
        self._again: dict[Key, Priority] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._bucket = TokenBucket(RETRIES_PER_SECOND, RETRY_BURST)
        self._on_latency = on_latency
        self._on_retry = on_retry

    def depth(self, priority: Priority) -> int:
        return len(self._waiting[priority])

    def add(self, key: Key, priority: Priority = Priority.EVENT) -> None:
        """Have the key handed out as soon as its turn comes; a waiting key keeps its better priority."""
        if key in self._in_work:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        held = self._held_at(key)
        if held is None:
            self._waiting[priority][key] = asyncio.get_running_loop().time()
            self._available.release()
        elif priority < held:
            self._waiting[priority][key] = self._waiting[held].pop(key)

    def add_after(self, key: Key, seconds: float, priority: Priority = Priority.REQUEUE) -> None:
        """Add the key later, unless it is due earlier already. Handing it out before voids the timer."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key, priority)

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """Add the key after its back-off, no sooner than the bucket allows; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        back_off = min(BACK_OFF_SECONDS * 2.0 ** min(failures, 32), LONGEST_BACK_OFF_SECONDS)
        seconds = max(at_least, back_off, self._bucket.reserve(asyncio.get_running_loop().time()))
        self.add_after(key, seconds)
        self._on_retry()
        return seconds

    def forget(self, key: Key) -> None:
        """The key succeeded: its next failure starts the back-off anew."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; it is not handed out again before `done`."""
        await self._available.acquire()
        waiting = next(keys for keys in self._waiting.values() if keys)
        key = next(iter(waiting))
        self._on_latency(asyncio.get_running_loop().time() - waiting.pop(key))
        self._in_work.add(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        self._in_work.discard(key)
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)

    def close(self) -> None:
        """Drop the timers, so that nothing is added any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: Key, priority: Priority) -> None:
        self._timers.pop(key, None)
        self.add(key, priority)

    def _held_at(self, key: Key) -> Priority | None:
        return next((priority for priority, keys in self._waiting.items() if key in keys), None)
