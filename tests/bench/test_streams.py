"""What streams of tokens tell of the time they were read in."""

from __future__ import annotations

import asyncio

import pytest
from bench.reload.report import differences, failures
from bench.reload.streams import Request, Streams, Window, longest_gap, longest_wait, rate

REQUESTS = [
    Request(asked=0, arrivals=[(1, 1), (2, 2), (5, 4)], failure=""),
    Request(asked=4, arrivals=[(6, 3)], failure="HTTP 503"),
    Request(asked=5),
]


@pytest.mark.parametrize(
    ("window", "tokens", "gap", "wait"),
    [
        (Window(0, 10), 7 / 10, 3, 2),
        (Window(0, 2), 1 / 2, 0, 1),
        (Window(2, 5), 1 / 3, 1, 0),
        (Window(5, 7), 5 / 2, 3, 2),
        (Window(7, 9), 0, 0, 0),
    ],
)
def test_a_window_has_what_arrived_in_it(window: Window, tokens: float, gap: float, wait: float) -> None:
    assert rate(REQUESTS, window) == pytest.approx(tokens)
    assert longest_gap(REQUESTS, window) == gap
    assert longest_wait(REQUESTS, window) == wait


def test_what_is_not_answered_whole_has_failed() -> None:
    assert failures(REQUESTS) == 2


def test_answers_are_compared_one_by_one() -> None:
    assert differences(["a", "b", "c"], ["a", "x", "y"]) == 2


class _Answered(Streams):
    """Every request is answered at once; the tenth is the last."""

    async def ask(self) -> None:
        self.requests.append(Request(0))
        self._ending = len(self.requests) == 10


@pytest.mark.parametrize("think", [0, 0.02])
def test_clients_think_for_as_long_as_they_may_and_each_time_for_another_while(
    monkeypatch: pytest.MonkeyPatch, think: float
) -> None:
    thoughts: list[float] = []
    sleep = asyncio.sleep

    async def thinking(seconds: float) -> None:
        thoughts.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", thinking)
    asyncio.run(_Answered(None, "", 0, 0, think=think)._ask_on())  # type: ignore[arg-type]
    assert len(thoughts) == len(set(thoughts)) == (10 if think else 0)
    assert all(0 < thought < think for thought in thoughts)
