"""Class 13: whatever befalls leader or standby at any write, one operator at a time has an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial

import pytest
from tests.faults import incidents
from tests.faults.conftest import Count
from tests.faults.incidents import Incident
from tests.faults.judging import none_wrong
from tests.sim.clock import now
from tests.sim.faults import Channel
from tests.sim.leadership import second_writers, terms
from tests.sim.process import OperatorProcess
from tests.sim.runner import Result, Run, numbers, play
from tests.sim.stage import Stage

LONG = "version-change"
WORKLOADS = (LONG, "scale-up")
PATIENCE_SECONDS = 90.0
"""For as long an incident lasts, and then the Lease has to run out."""
PUT_RIGHT = ("logged WARNING", "is made, and its pointer is not there")
TAKEOVER_SECONDS = 17.0
HANDOVER_SECONDS = 2.0

LEADER, STANDBY = slice(0, 1), slice(1, 2)
BOTH = slice(0, 2)


@dataclass(eq=False)
class Happening:
    """An incident that befalls some replicas at one point of a run."""

    befall: Callable[[list[OperatorProcess]], None]
    channel: Channel
    number: int
    at: float = 0.0
    stage: Stage = field(init=False)

    def disturb(self, stage: Stage) -> None:
        self.stage = stage
        stage.script.at(self.channel, self.number, self._happen)

    def _happen(self) -> None:
        self.at = now()
        self.befall(self.stage.processes)


def to(whom: slice, incident: Incident) -> Callable[[list[OperatorProcess]], None]:
    def befall(replicas: list[OperatorProcess]) -> None:
        for each in replicas[whom]:
            incident(each)

    return befall


def clocks_apart(ahead: slice, behind: slice) -> Callable[[list[OperatorProcess]], None]:
    def befall(replicas: list[OperatorProcess]) -> None:
        to(ahead, incidents.an_hour_ahead)(replicas)
        to(behind, incidents.an_hour_behind)(replicas)

    return befall


HINDRANCES = {
    "the leader stands still": to(LEADER, incidents.paused),
    "the leader is cut off": to(LEADER, incidents.cut_off),
    "the leader's clock is ahead": clocks_apart(LEADER, STANDBY),
    "the leader's clock is behind": clocks_apart(STANDBY, LEADER),
}
OTHERS = {
    "the standby stands still": to(STANDBY, incidents.paused),
    "the standby is cut off": to(STANDBY, incidents.cut_off),
}
OTHERS |= {
    f"{who} waits {seconds} s for each answer": to(whom, partial(incidents.slow, seconds))
    for who, whom in (("everybody", BOTH), ("the leader", LEADER))
    for seconds in (4.0, 6.0, 12.0)
}


@cache
def reference(workload: str) -> Result:
    """The workload with a standby, and nothing happens. Raises AssertionError where that has problems."""
    result = play(Run(workload), None, standbys=1)
    assert not result.problems, [f"{workload} with a standby", *result.problems]
    return result


def points(workload: str, channel: Channel) -> Iterable[int]:
    return numbers(reference(workload), channel)


def reads_before_orders(workload: str, channel: Channel) -> Iterable[int]:
    """Of each order to a pod, what was read last before it was given."""
    journal = reference(workload).journal
    reads = [each for each in journal.calls if (each.channel, each.method) == (channel, "GET")]
    return sorted({max(read.number for read in reads if read.sent < order.sent) for order in journal.orders})


def happens(
    workload: str,
    befall: Callable[[list[OperatorProcess]], None],
    channel: Channel,
    judged: Callable[[Happening], Iterable[str]] = lambda happening: (),
    chosen: Callable[[str, Channel], Iterable[int]] = points,
) -> int:
    """Make a run for each chosen point; returns how many. Raises AssertionError with the bad ones."""

    def problems(happening: Happening) -> list[str]:
        wanted = reference(workload)
        result = play(Run(workload), wanted, happening.disturb, PATIENCE_SECONDS, standbys=1)
        return [*result.problems, *second_writers(happening.stage), *judged(happening)]

    return made([Happening(befall, channel, number) for number in chosen(workload, channel)], problems)


def made(happenings: list[Happening], problems: Callable[[Happening], list[str]]) -> int:
    bad = {each: found for each in happenings if (found := problems(each))}
    return none_wrong(len(happenings), {f"at {each.channel.value} {each.number}:": bad[each] for each in bad})


def taken_over(happening: Happening) -> Iterable[str]:
    """What is wrong with how a standby took over from a leader that died."""
    before = _holder(happening)
    renewed = max(at for at, holder in terms(happening.stage) if holder == before)
    yield from _led_anew(happening, before, renewed + TAKEOVER_SECONDS)


def handed_over(happening: Happening) -> Iterable[str]:
    """What is wrong with how a leader that was told to stop handed over."""
    yield from _led_anew(happening, _holder(happening), happening.at + HANDOVER_SECONDS)


def _holder(happening: Happening) -> str:
    """Who led when it happened."""
    return [holder for at, holder in terms(happening.stage) if at <= happening.at][-1]


def _led_anew(happening: Happening, before: str, until: float) -> Iterable[str]:
    others = [at for at, holder in terms(happening.stage) if holder not in ("", before)]
    if not others:
        yield "nobody took over"
    elif others[0] > until:
        yield f"the standby took over {others[0] - until:.2f} s too late"


@pytest.mark.parametrize("channel", [Channel.WRITE, Channel.ANSWER], ids=["before", "after"])
def test_a_leader_that_is_killed_at_any_write_goes_on_beside_its_standby(
    channel: Channel, count: Count
) -> None:
    count(13, happens("scale-up", to(LEADER, incidents.killed), channel))


LOST = [
    pytest.param(
        workload, channel, marks=pytest.mark.nightly if (workload, channel) == (LONG, Channel.WRITE) else ()
    )
    for workload in WORKLOADS
    for channel in (Channel.WRITE, Channel.ANSWER)
]


@pytest.mark.parametrize(("workload", "channel"), LOST)
def test_a_standby_takes_over_from_a_leader_that_is_lost_at_any_write(
    workload: str, channel: Channel, count: Count
) -> None:
    count(13, happens(workload, to(LEADER, incidents.lost), channel, taken_over))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_leader_that_is_told_to_stop_at_any_write_hands_over(workload: str, count: Count) -> None:
    count(13, happens(workload, to(LEADER, incidents.stopped), Channel.WRITE, handed_over))


HINDERED = [
    pytest.param(workload, what, marks=pytest.mark.nightly if workload == LONG else ())
    for workload in WORKLOADS
    for what in HINDRANCES
]


@pytest.mark.parametrize(("workload", "what"), HINDERED)
def test_what_hinders_a_replica_at_any_write_makes_no_second_writer(
    workload: str, what: str, count: Count
) -> None:
    count(13, happens(workload, HINDRANCES[what], Channel.WRITE))


@pytest.mark.parametrize("what", OTHERS)
def test_what_delays_everybody_or_the_standby_from_any_write_on_makes_no_second_writer(
    what: str, count: Count
) -> None:
    count(13, happens("scale-up", OTHERS[what], Channel.WRITE))


@pytest.mark.parametrize("what", ["the leader stands still", "the leader is cut off"])
def test_what_a_leader_sent_long_ago_undoes_nothing_that_was_decided_since(what: str, count: Count) -> None:
    count(13, happens("scaled-twice", HINDRANCES[what], Channel.WRITE))


@pytest.mark.parametrize("what", ["the leader stands still", "the leader is cut off"])
def test_what_a_leader_sent_long_ago_takes_nothing_away_that_is_wanted_again(what: str, count: Count) -> None:
    """What nobody has written since it may still change, and what nobody has made since come, and that is put
    right: a request that makes something names no version."""
    back = "there-and-later-back"

    def problems(happening: Happening) -> list[str]:
        result = play(Run(back), None, happening.disturb, PATIENCE_SECONDS, standbys=1)
        return [each for each in result.problems if not any(words in each for words in PUT_RIGHT)]

    begun = reference(back).before[Channel.CALL]
    writes = [each for each in reference(back).journal.writes() if each.number > begun]
    points = [each.number for each in writes if each.method == "DELETE" or "/replicasets" in each.path]
    count(13, made([Happening(HINDRANCES[what], Channel.CALL, number) for number in points], problems))


def test_a_leader_that_stood_still_gives_no_order_to_a_pod_once_another_may_lead(count: Count) -> None:
    still = to(LEADER, incidents.paused_before_an_answer)
    count(13, happens("hot-reload", still, Channel.CALL, chosen=reads_before_orders))
