"""A machine's clock is believed while it agrees with the API server's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sluicegate.kube.clock import TOLERANCE, ServerClock

pytestmark = pytest.mark.looptime

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Clocks:
    """The true time is noon when the loop's clock is at zero; both clocks may be wrong by something."""

    def __init__(self) -> None:
        self.machine_off = self.server_off = timedelta(0)
        self.clock = ServerClock(lambda: self.true + self.machine_off)

    @property
    def true(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())

    def answer(self, delay: timedelta = timedelta(0)) -> None:
        """One that the API server gave `delay` ago."""
        self.clock.heard(format_datetime(self.true + self.server_off - delay, usegmt=True))


async def test_before_any_answer_there_is_the_machines_clock_alone() -> None:
    clocks = Clocks()
    clocks.machine_off = HOUR
    assert clocks.clock.now() == clocks.true + HOUR


async def test_a_machine_that_is_a_little_off_is_believed_to_the_millisecond() -> None:
    clocks = Clocks()
    clocks.machine_off = timedelta(milliseconds=1234)
    clocks.answer()
    assert clocks.clock.now() == clocks.true + clocks.machine_off


@pytest.mark.parametrize("off", [HOUR, -HOUR, TOLERANCE + SECOND, -TOLERANCE - SECOND], ids=str)
async def test_a_clock_that_jumps_says_what_the_api_servers_does(off: timedelta) -> None:
    clocks = Clocks()
    clocks.answer()
    clocks.machine_off = off
    await asyncio.sleep(100.7)
    assert clocks.true - SECOND <= clocks.clock.now() <= clocks.true


async def test_it_does_not_go_back_by_an_answer_that_was_on_its_way_for_a_while() -> None:
    clocks = Clocks()
    clocks.machine_off = HOUR
    clocks.answer()
    last = clocks.clock.now()
    for delay in (0.0, 0.9, 0.3, 2.5):
        await asyncio.sleep(0.37)
        clocks.answer(timedelta(seconds=delay))
        assert clocks.clock.now() > last
        last = clocks.clock.now()
    assert clocks.true - SECOND <= last <= clocks.true


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["ahead", "back"])
async def test_a_server_that_jumps_is_followed(by: timedelta) -> None:
    clocks = Clocks()
    clocks.answer()
    clocks.server_off = clocks.machine_off = by
    clocks.answer()
    clocks.machine_off = timedelta(0)
    assert clocks.true + by - SECOND <= clocks.clock.now() <= clocks.true + by


async def test_what_is_no_date_says_nothing() -> None:
    clocks = Clocks()
    clocks.clock.heard("yesterday")
    clocks.machine_off = HOUR
    assert clocks.clock.now() == clocks.true + HOUR
