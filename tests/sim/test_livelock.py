"""What never waits is found out, for in virtual time it would go on for ever."""

from __future__ import annotations

import asyncio

import pytest
from tests.sim.runner import simulate
from tests.sim.standstill import Livelock


async def _waits_for_nothing() -> None:
    while True:  # noqa: ASYNC110 - what is to be found out
        await asyncio.sleep(0)


async def _waits_a_little() -> None:
    for _ in range(1000):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)


def test_a_moment_without_an_end_is_ended() -> None:
    with pytest.raises(Livelock, match="no time has passed"):
        simulate(_waits_for_nothing)


def test_a_wait_for_what_never_comes_is_ended() -> None:
    async def waits_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Livelock, match="nothing is due ever"):
        simulate(waits_for_nobody)


def test_time_jumps_from_timer_to_timer_from_where_it_begins() -> None:
    async def three_times_a_tenth() -> float:
        for _ in range(3):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    assert simulate(three_times_a_tenth, start=5.0) == 5.3


def test_whoever_waits_goes_on_for_as_long_as_he_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sim.standstill.MOST_TURNS", 20)
    simulate(_waits_a_little)
