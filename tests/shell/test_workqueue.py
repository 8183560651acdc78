"""The work queue: coalescing, order, back-off and the shared bucket, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from sluicegate.shell.keys import Key
from sluicegate.shell.workqueue import (
    LONGEST_BACK_OFF_SECONDS,
    RETRY_BURST,
    Priority,
    TokenBucket,
    WorkQueue,
)

pytestmark = pytest.mark.looptime(noop_cycles=1)


def a_key(name: str = "chat") -> Key:
    return Key("LLMDeployment", "team", name)


def now() -> float:
    return asyncio.get_running_loop().time()


async def taken(queue: WorkQueue, count: int) -> list[str]:
    return [(await queue.get()).name for _ in range(count)]


async def is_empty(queue: WorkQueue) -> bool:
    try:
        async with asyncio.timeout(1000):
            await queue.get()
    except TimeoutError:
        return True
    return False


async def test_many_additions_of_one_key_are_handed_out_once() -> None:
    queue = WorkQueue()
    for _ in range(50):
        queue.add(a_key())
    assert await queue.get() == a_key()
    assert await is_empty(queue)


async def test_a_key_added_while_it_is_worked_on_comes_back_when_that_is_done() -> None:
    queue = WorkQueue()
    queue.add(a_key())
    await queue.get()
    queue.add(a_key())
    queue.add(a_key())
    assert await is_empty(queue)
    queue.done(a_key())
    assert await asyncio.wait_for(queue.get(), 1) == a_key()
    queue.done(a_key())
    assert await is_empty(queue)


async def test_events_come_before_requeues_and_these_before_resyncs() -> None:
    queue = WorkQueue()
    queue.add(a_key("resync"), Priority.RESYNC)
    queue.add(a_key("requeue"), Priority.REQUEUE)
    queue.add(a_key("event-1"))
    queue.add(a_key("event-2"))
    assert await taken(queue, 4) == ["event-1", "event-2", "requeue", "resync"]


async def test_a_waiting_key_takes_the_better_priority_and_never_the_worse() -> None:
    queue = WorkQueue()
    queue.add(a_key("other"), Priority.REQUEUE)
    queue.add(a_key("raised"), Priority.RESYNC)
    queue.add(a_key("raised"), Priority.EVENT)
    queue.add(a_key("raised"), Priority.RESYNC)
    assert [queue.depth(priority) for priority in Priority] == [1, 1, 0]
    assert await taken(queue, 2) == ["raised", "other"]


async def test_the_earliest_of_several_timers_counts() -> None:
    queue = WorkQueue()
    queue.add_after(a_key(), 30)
    queue.add_after(a_key(), 10)
    queue.add_after(a_key(), 20)
    await queue.get()
    assert now() == 10
    queue.done(a_key())
    assert await is_empty(queue)


async def test_an_event_voids_the_timer_because_the_pass_sets_its_own() -> None:
    queue = WorkQueue()
    queue.add_after(a_key(), 10)
    queue.add(a_key())
    await queue.get()
    queue.done(a_key())
    assert await is_empty(queue)


async def test_the_back_off_doubles_up_to_its_bound_and_starts_anew_after_a_success() -> None:
    queue = WorkQueue()
    delays = [queue.retry(a_key()) for _ in range(14)]
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-2:] == [LONGEST_BACK_OFF_SECONDS] * 2
    queue.forget(a_key())
    assert queue.retry(a_key()) == pytest.approx(0.1)


async def test_a_retry_waits_as_long_as_the_server_asked_for() -> None:
    assert await asyncio.sleep(0, WorkQueue().retry(a_key(), at_least=7)) == 7


async def test_a_fresh_event_of_a_failing_key_is_served_at_once() -> None:
    queue = WorkQueue()
    for _ in range(10):
        queue.retry(a_key())
    queue.add(a_key())
    await queue.get()
    assert now() == 0


async def test_retries_of_many_keys_share_a_bucket_of_a_hundred_and_then_twenty_a_second() -> None:
    queue = WorkQueue()
    delays = [queue.retry(a_key(f"chat-{number}")) for number in range(RETRY_BURST + 40)]
    assert delays[:RETRY_BURST] == [pytest.approx(0.1)] * RETRY_BURST
    assert delays[-1] == pytest.approx(2.0)


async def test_the_bucket_fills_again_but_never_beyond_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2)
    assert [bucket.reserve(0) for _ in range(3)] == pytest.approx([0, 0, 0.1])
    assert [bucket.reserve(1000) for _ in range(3)] == pytest.approx([0, 0, 0.1])


async def test_a_key_that_always_fails_delays_nobody_else() -> None:
    queue, waits = WorkQueue(), list[float]()
    queue.add(a_key("poison"))

    async def work() -> None:
        while True:
            key = await queue.get()
            if key.name == "poison":
                queue.retry(key)
            else:
                waits.append(now() - float(key.name))
            queue.done(key)

    worker = asyncio.create_task(work())
    for _ in range(100):
        queue.add(a_key(str(now())))
        await asyncio.sleep(1)
    worker.cancel()
    assert waits == [0] * 100


async def test_latency_and_retries_are_told() -> None:
    latencies, retries = list[float](), list[int]()
    queue = WorkQueue(latencies.append, lambda: retries.append(1))
    queue.add(a_key())
    await asyncio.sleep(3)
    await queue.get()
    queue.retry(a_key())
    assert (latencies, retries) == ([3], [1])


async def test_a_cancelled_worker_loses_no_key() -> None:
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    queue.add(a_key())
    assert await queue.get() == a_key()
