"""The queue under whatever happens to it: bounds, order, shares, and nobody forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sluicegate_engine.admission import Admission, Queue
from sluicegate_engine.demand import Demand
from sluicegate_engine.priority import Priority
from sluicegate_engine.ticket import Ticket, Verdict
from sluicegate_engine.waiting import Bounds, WaitingRoom

CONCURRENT, BOUNDS = 4, Bounds(13, 130)
PASSED_AT_MOST = {Priority.INTERACTIVE: 2, Priority.STANDARD: 4, Priority.BATCH: 14}
"""Requests of other classes, of one sequence each, that are let in while one is the next of its class."""

Arrival = tuple[Priority, Demand]
PRIORITIES = st.sampled_from(Priority)
TOKENS = st.one_of(st.just(0), st.integers(1, 10), st.integers(11, 150))
ARRIVALS = st.tuples(PRIORITIES, st.builds(Demand, st.integers(1, CONCURRENT), TOKENS))
EVENTS = st.lists(st.one_of(ARRIVALS, st.integers(0, 99), st.sampled_from(Admission)), max_size=150)


@dataclass
class Crowd:
    """Everybody who came to a queue and has not left it."""

    queue: Queue = field(default_factory=lambda: Queue(CONCURRENT, BOUNDS, lambda: 0))
    everybody: list[Ticket] = field(default_factory=list)
    present: list[Ticket] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    def happens(self, event: Arrival | int | Admission) -> None:
        if isinstance(event, Admission):
            self.queue.switch(event)
        elif isinstance(event, tuple):
            self.comes(*event)
        elif self.present:
            self.queue.leave(self.present.pop(event % len(self.present)))

    def comes(self, priority: Priority, demand: Demand) -> Ticket:
        number = len(self.everybody)
        ticket = self.queue.offer(lambda: self.told.append(number), demand, priority)
        self.everybody.append(ticket)
        self.present.append(ticket)
        return ticket

    def those(self, verdict: Verdict) -> list[Ticket]:
        return [ticket for ticket in self.present if ticket.verdict is verdict]

    def waiting_of(self, priority: Priority) -> list[Ticket]:
        return [ticket for ticket in self.those(Verdict.QUEUED) if ticket.priority is priority]


def tokens_of(tickets: Sequence[Ticket]) -> int:
    return sum(ticket.demand.prompt_tokens for ticket in tickets)


def sequences_of(tickets: Sequence[Ticket]) -> int:
    return sum(ticket.demand.sequences for ticket in tickets)


@given(EVENTS)
def test_no_bound_is_ever_exceeded_and_what_is_counted_is_there(
    events: list[Arrival | int | Admission],
) -> None:
    crowd = Crowd()
    for event in events:
        crowd.happens(event)
        running, waiting = crowd.those(Verdict.ADMITTED), crowd.those(Verdict.QUEUED)
        queue = crowd.queue
        assert (queue.in_flight, queue.queued) == (len(running), len(waiting))
        assert queue.queued_prompt_tokens == tokens_of(waiting)
        assert sequences_of(running) <= CONCURRENT
        assert BOUNDS.hold(len(waiting), tokens_of(waiting))


@given(EVENTS)
def test_once_all_have_left_every_place_is_free(events: list[Arrival | int | Admission]) -> None:
    crowd = Crowd()
    for event in [*events, Admission.OPEN, *[0] * len(events)]:
        crowd.happens(event)
    assert crowd.present == []
    queue = crowd.queue
    assert (queue.in_flight, queue.queued, queue.queued_prompt_tokens) == (0, 0, 0)
    assert crowd.comes(Priority.BATCH, Demand(CONCURRENT)).verdict is Verdict.ADMITTED


@given(EVENTS)
def test_nobody_waits_while_there_is_room_for_all_that_are_next(
    events: list[Arrival | int | Admission],
) -> None:
    crowd = Crowd()
    for event in [Admission.OPEN, *events]:
        crowd.happens(event)
        heads = [line[0] for each in Priority if (line := crowd.waiting_of(each))]
        room = CONCURRENT - sequences_of(crowd.those(Verdict.ADMITTED))
        if heads and crowd.queue.admission is not Admission.HOLDING:
            assert max(head.demand.sequences for head in heads) > room


@given(st.lists(st.one_of(ARRIVALS, st.integers(0, 99)), max_size=150))
def test_within_a_class_whoever_came_first_is_let_in_first(events: list[Arrival | int]) -> None:
    crowd = Crowd()
    for event in [Admission.OPEN, *events]:
        crowd.happens(event)
        for priority in Priority:
            of_it = [ticket.verdict for ticket in crowd.everybody if ticket.priority is priority]
            if Verdict.QUEUED in of_it:
                assert Verdict.ADMITTED not in of_it[of_it.index(Verdict.QUEUED) :]


@given(st.lists(ARRIVALS, max_size=60))
def test_a_class_within_its_share_is_not_turned_away_and_loses_nobody(arrivals: list[Arrival]) -> None:
    crowd = Crowd()
    crowd.happens(Admission.OPEN)
    for priority, demand in arrivals:
        before = {each: crowd.waiting_of(each) for each in Priority}
        told = len(crowd.told)
        ticket, own, share = crowd.comes(priority, demand), before[priority], BOUNDS.share(priority)
        if ticket.verdict is Verdict.FULL:
            assert not share.hold(len(own) + 1, tokens_of(own) + demand.prompt_tokens)
        woken = [crowd.everybody[number] for number in crowd.told[told:]]
        for displaced in [each for each in woken if each.verdict is Verdict.FULL]:
            theirs = before[displaced.priority]
            assert not BOUNDS.share(displaced.priority).hold(len(theirs), tokens_of(theirs))
            assert displaced.priority is not priority


@given(st.lists(st.tuples(PRIORITIES, st.integers(0, 3)), max_size=200))
def test_whoever_is_next_of_its_class_is_passed_by_a_few_of_the_others(
    arrivals: list[tuple[Priority, int]],
) -> None:
    room, passed = WaitingRoom(Bounds(1000)), dict.fromkeys(Priority, 0)
    waiting = {priority: list[Ticket]() for priority in Priority}
    for priority, let_in in [*arrivals, (Priority.BATCH, 1000)]:
        ticket = Ticket(Verdict.QUEUED, priority, Demand(), lambda: None)
        waiting[priority].append(ticket)
        room.add(ticket)
        for _ in range(let_in):
            if (first := room.first()) is None:
                break
            room.take_turn(first)
            waiting[first.priority].remove(first)
            for each in Priority:
                passed[each] = passed[each] + 1 if each is not first.priority and waiting[each] else 0
                assert passed[each] <= PASSED_AT_MOST[each]
    assert room.requests == 0


@given(st.lists(PRIORITIES, max_size=100))
def test_while_all_want_more_each_class_has_its_part(before: list[Priority]) -> None:
    room = WaitingRoom(Bounds(1000))
    for priority in [*before, *list(Priority) * 120]:
        room.add(Ticket(Verdict.QUEUED, priority, Demand(), lambda: None))
    let_in = []
    for _ in range(65):
        first = room.first()
        assert first is not None
        room.take_turn(first)
        let_in.append(first.priority)
    assert [let_in.count(each) for each in Priority] == [40, 20, 5]
