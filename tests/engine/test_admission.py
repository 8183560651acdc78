"""The queue: order, bounds and what each admission state does."""

from __future__ import annotations

import pytest
from tests.engine.clock import Watch

from sluicegate_engine.admission import Admission, Queue
from sluicegate_engine.demand import Demand
from sluicegate_engine.priority import Priority
from sluicegate_engine.ticket import Ticket, Verdict
from sluicegate_engine.waiting import Bounds

INTERACTIVE, STANDARD, BATCH = Priority


def open_queue(max_concurrent: int = 1, max_queued: int = 2, max_queued_tokens: int | None = None) -> Queue:
    queue = Queue(max_concurrent, Bounds(max_queued, max_queued_tokens), Watch())
    queue.switch(Admission.OPEN)
    return queue


def offer(
    queue: Queue,
    woken: list[int] | None = None,
    name: int = 0,
    sequences: int = 1,
    tokens: int = 0,
    priority: Priority = STANDARD,
) -> Ticket:
    wake = (woken if woken is not None else []).append
    return queue.offer(lambda: wake(name), Demand(sequences, tokens), priority)


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
    assert offer(Queue(1, Bounds(1), Watch())).verdict is Verdict.UNAVAILABLE


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


def test_as_many_prompt_tokens_wait_as_may_whatever_the_number_of_requests() -> None:
    queue = open_queue(max_queued=9, max_queued_tokens=100)
    offer(queue, tokens=5000)
    verdicts = [offer(queue, tokens=tokens).verdict for tokens in (60, 41, 40, 1)]
    assert verdicts == [Verdict.QUEUED, Verdict.FULL, Verdict.QUEUED, Verdict.FULL]
    assert (queue.queued, queue.queued_prompt_tokens) == (2, 100)


def test_who_leaves_the_queue_frees_its_tokens_at_once() -> None:
    queue = open_queue(max_queued=9, max_queued_tokens=100)
    offer(queue)
    queue.leave(offer(queue, tokens=100))
    assert queue.queued_prompt_tokens == 0
    assert offer(queue, tokens=100).verdict is Verdict.QUEUED


def test_a_request_of_more_tokens_than_may_wait_starts_where_it_need_not_wait() -> None:
    queue = open_queue(max_queued=9, max_queued_tokens=100)
    running = offer(queue, tokens=101)
    assert (running.verdict, offer(queue, tokens=101).verdict) == (Verdict.ADMITTED, Verdict.FULL)
    queue.leave(running)
    assert offer(queue, tokens=101).verdict is Verdict.ADMITTED


def test_the_higher_class_goes_first_and_none_goes_without() -> None:
    queue, woken = open_queue(max_queued=60), list[int]()
    tickets = [offer(queue)]
    for n in range(60):
        tickets.append(offer(queue, woken, n % 3, priority=(BATCH, STANDARD, INTERACTIVE)[n % 3]))
    for _ in range(13):
        queue.leave(next(ticket for ticket in tickets if ticket.verdict is Verdict.ADMITTED))
    assert woken[0] == 2
    assert [woken.count(n) for n in range(3)] == [1, 4, 8]


def test_who_is_in_a_lower_class_and_over_its_share_gives_its_place_to_one_who_is_not() -> None:
    queue, woken = open_queue(max_queued=13), list[int]()
    offer(queue)
    batch = [offer(queue, woken, n, priority=BATCH) for n in range(13)]
    others = [offer(queue, priority=INTERACTIVE) for _ in range(8)] + [offer(queue) for _ in range(4)]
    assert {ticket.verdict for ticket in others} == {Verdict.QUEUED}
    assert woken == list(range(12, 0, -1))
    assert [ticket.verdict for ticket in batch] == [Verdict.QUEUED] + [Verdict.FULL] * 12
    assert {offer(queue, priority=each).verdict for each in Priority} == {Verdict.FULL}


def test_of_those_over_their_share_the_lowest_class_gives_way_and_within_its_share_none_does() -> None:
    queue, woken = open_queue(max_queued=13), list[int]()
    offer(queue)
    standard = [offer(queue, woken, n) for n in range(5)]
    batch = [offer(queue, woken, n, priority=BATCH) for n in range(10, 12)]
    urgent = [offer(queue, priority=INTERACTIVE) for _ in range(8)]
    assert {ticket.verdict for ticket in [*urgent, *standard[:4], batch[0]]} == {Verdict.QUEUED}
    assert woken == [11, 4]


def test_a_class_that_was_away_has_saved_no_turns_up() -> None:
    queue, woken = open_queue(max_queued=60), list[int]()
    tickets = [offer(queue, woken, 0, priority=INTERACTIVE) for _ in range(40)]
    for ticket in tickets[:20]:
        queue.leave(ticket)
    tickets = [ticket for ticket in tickets if ticket.verdict is Verdict.ADMITTED]
    tickets += [offer(queue, woken, 1) for _ in range(20)]
    woken.clear()
    queue.leave(tickets[0])
    assert woken == [0]


def test_a_class_of_requests_of_many_sequences_has_the_fewer_turns() -> None:
    queue, woken = open_queue(max_concurrent=8, max_queued=60), list[int]()
    running = offer(queue, sequences=8)
    for _ in range(20):
        offer(queue, woken, 0, sequences=8, priority=INTERACTIVE)
        offer(queue, woken, 1, sequences=1)
    queue.leave(running)
    # the turn of the eight sequences is that of the lower class's fourth, and they are next
    assert woken == [1] * 3


def test_who_gives_way_while_the_gate_holds_is_told_that_nobody_passes_now() -> None:
    queue = open_queue(max_queued=13)
    queue.switch(Admission.HOLDING)
    batch = [offer(queue, priority=BATCH) for _ in range(13)]
    offer(queue, priority=INTERACTIVE)
    assert batch[-1].verdict is Verdict.UNAVAILABLE


def test_a_request_for_which_there_is_room_does_not_wait_behind_a_class_whose_turn_is_later() -> None:
    queue = open_queue(max_concurrent=2, max_queued=9)
    running, heavy = offer(queue), offer(queue, sequences=2, priority=BATCH)
    light = offer(queue, priority=INTERACTIVE)
    assert (heavy.verdict, light.verdict) == (Verdict.QUEUED, Verdict.ADMITTED)
    for ticket in (running, light):
        queue.leave(ticket)
    assert heavy.verdict is Verdict.ADMITTED


def test_whoever_finds_it_full_is_told_how_long_the_queue_lasts_at_its_pace() -> None:
    watch = Watch()
    queue = Queue(1, Bounds(20), watch)
    queue.switch(Admission.OPEN)
    tickets = [offer(queue) for _ in range(21)]
    assert queue.retry_after == 1
    for ticket in tickets[:10]:
        watch.at += 2000
        queue.leave(ticket)
    # ten have left in 20 seconds and ten wait
    assert queue.retry_after == 20
    watch.at += 1_000_000
    assert queue.retry_after == 60


def test_whoever_goes_while_waiting_makes_the_queue_last_the_less() -> None:
    watch = Watch()
    queue = Queue(1, Bounds(20), watch)
    queue.switch(Admission.OPEN)
    tickets = [offer(queue) for _ in range(21)]
    watch.at += 10_000
    for ticket in tickets[11:]:
        queue.leave(ticket)
    # ten have gone in ten seconds and ten wait
    assert queue.retry_after == 10


def test_a_queue_that_was_empty_meanwhile_forgets_how_slow_it_was() -> None:
    watch = Watch()
    queue = Queue(1, Bounds(20), watch)
    queue.switch(Admission.OPEN)
    first, second = offer(queue), offer(queue)
    watch.at += 100_000
    queue.leave(first)
    for _ in range(20):
        offer(queue)
    watch.at += 100
    queue.leave(second)
    # one in a tenth of a second, and nineteen wait
    assert queue.retry_after == 2
