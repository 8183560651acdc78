"""The queue: order, bounds and what each admission state does."""

from __future__ import annotations

import random

import pytest

from sluicegate_engine.admission import Admission, Queue, Ticket, Verdict


def open_queue(max_concurrent: int = 1, max_queued: int = 2) -> Queue:
    queue = Queue(max_concurrent, max_queued)
    queue.switch(Admission.OPEN)
    return queue


def offer(queue: Queue, woken: list[int] | None = None, name: int = 0, sequences: int = 1) -> Ticket:
    return queue.offer(lambda: (woken if woken is not None else []).append(name), sequences)


def test_requests_up_to_the_bound_start_at_once_and_the_next_ones_wait() -> None:
    queue = open_queue(max_concurrent=2, max_queued=1)
    verdicts = [offer(queue).verdict for _ in range(4)]
    assert verdicts == [Verdict.ADMITTED, Verdict.ADMITTED, Verdict.QUEUED, Verdict.FULL]
    assert (queue.in_flight, queue.queued) == (2, 1)


def test_who_waits_longest_starts_first() -> None:
    queue, woken = open_queue(max_queued=3), list[int]()
    tickets = [offer(queue, woken, n) for n in range(4)]
    for ticket in tickets[:3]:
        queue.leave(ticket)
    assert woken == [1, 2, 3]
    assert tickets[3].verdict is Verdict.ADMITTED


def test_a_request_of_many_sequences_waits_for_room_for_all_and_nobody_passes_it() -> None:
    queue, woken = open_queue(max_concurrent=3, max_queued=3), list[int]()
    first, heavy = offer(queue), offer(queue, woken, 1, sequences=3)
    light = offer(queue, woken, 2)
    assert (heavy.verdict, light.verdict, queue.in_flight) == (Verdict.QUEUED, Verdict.QUEUED, 1)
    queue.leave(first)
    assert (woken, light.verdict, queue.in_flight) == ([1], Verdict.QUEUED, 1)
    queue.leave(heavy)
    assert woken == [1, 2]


def test_who_leaves_the_queue_is_not_woken_and_frees_the_place() -> None:
    queue, woken = open_queue(max_queued=1), list[int]()
    first, gone = offer(queue), offer(queue, woken, 1)
    queue.leave(gone)
    last = offer(queue, woken, 2)
    queue.leave(first)
    assert woken == [2]
    assert last.verdict is Verdict.ADMITTED


def test_leaving_twice_frees_one_place() -> None:
    queue = open_queue(max_concurrent=2)
    first, _ = offer(queue), offer(queue)
    queue.leave(first)
    queue.leave(first)
    assert queue.in_flight == 1


def test_who_was_turned_away_frees_nothing_by_leaving() -> None:
    queue = open_queue(max_concurrent=1, max_queued=0)
    offer(queue)
    queue.leave(offer(queue))
    assert queue.in_flight == 1


def test_without_queue_places_a_busy_engine_is_full() -> None:
    queue = open_queue(max_concurrent=1, max_queued=0)
    assert [offer(queue).verdict for _ in range(2)] == [Verdict.ADMITTED, Verdict.FULL]


@pytest.mark.parametrize(
    ("admission", "verdict"),
    [
        (Admission.CLOSED, Verdict.UNAVAILABLE),
        (Admission.OPEN, Verdict.ADMITTED),
        (Admission.DRAINING, Verdict.ADMITTED),
        (Admission.REFUSING, Verdict.UNAVAILABLE),
    ],
)
def test_each_state_has_its_verdict_for_a_new_request(admission: Admission, verdict: Verdict) -> None:
    queue = open_queue()
    queue.switch(admission)
    assert offer(queue).verdict is verdict


def test_a_new_queue_is_closed() -> None:
    assert offer(Queue(1, 1)).verdict is Verdict.UNAVAILABLE


def test_refusing_still_serves_those_that_wait() -> None:
    queue, woken = open_queue(), list[int]()
    running, waiting = offer(queue), offer(queue, woken, 1)
    queue.switch(Admission.REFUSING)
    assert woken == []
    queue.leave(running)
    assert (waiting.verdict, woken) == (Verdict.ADMITTED, [1])


def test_closing_turns_away_those_that_wait_and_leaves_those_in_flight() -> None:
    queue, woken = open_queue(), list[int]()
    running, waiting = offer(queue), offer(queue, woken, 1)
    queue.switch(Admission.CLOSED)
    assert (waiting.verdict, woken) == (Verdict.UNAVAILABLE, [1])
    assert (running.verdict, queue.in_flight, queue.queued) == (Verdict.ADMITTED, 1, 0)


def test_any_order_of_events_keeps_the_bounds_and_loses_nobody() -> None:
    chance = random.Random(7)
    queue, present, woken = open_queue(3, 5), list[Ticket](), list[int]()
    for n in range(5000):
        if chance.random() < 0.55:
            present.append(offer(queue, woken, n, chance.choice((1, 1, 2, 3))))
        elif present:
            queue.leave(present.pop(chance.randrange(len(present))))
        running = [ticket.sequences for ticket in present if ticket.verdict is Verdict.ADMITTED]
        waiting = [ticket.sequences for ticket in present if ticket.verdict is Verdict.QUEUED]
        assert (queue.in_flight, queue.queued) == (len(running), len(waiting))
        assert sum(running) <= 3
        assert len(waiting) <= 5
        assert not waiting or sum(running) + waiting[0] > 3
        present = [t for t in present if t.verdict is not Verdict.FULL]
    assert woken == sorted(woken)
    assert len(woken) > 500


def test_while_holding_nobody_starts_and_as_many_wait_as_may() -> None:
    queue, woken = open_queue(max_concurrent=2, max_queued=2), list[int]()
    running = offer(queue)
    queue.switch(Admission.HOLDING)
    held = [offer(queue, woken, n) for n in range(3)]
    assert [ticket.verdict for ticket in held] == [Verdict.QUEUED, Verdict.QUEUED, Verdict.UNAVAILABLE]
    queue.leave(running)
    assert (queue.in_flight, woken) == (0, [])


def test_who_was_held_starts_in_order_when_the_gate_opens() -> None:
    queue, woken = open_queue(max_concurrent=1, max_queued=2), list[int]()
    queue.switch(Admission.HOLDING)
    held = [offer(queue, woken, n) for n in range(2)]
    queue.switch(Admission.OPEN)
    assert (woken, held[0].verdict) == ([0], Verdict.ADMITTED)
    queue.leave(held[0])
    assert woken == [0, 1]


def test_who_is_held_is_turned_away_when_the_gate_closes() -> None:
    queue, woken = open_queue(), list[int]()
    queue.switch(Admission.HOLDING)
    held = offer(queue, woken)
    queue.switch(Admission.CLOSED)
    assert (held.verdict, woken) == (Verdict.UNAVAILABLE, [0])
