"""What befalls a whole replica of the operator, rather than one of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from tests.sim import latency
from tests.sim.clock import now
from tests.sim.process import OperatorProcess

PAUSE_SECONDS = 45.0
"""Three times the Lease's duration."""
WHILE_IT_WAITS_SECONDS = 20.0
"""Longer than the Lease's duration too, and than an answer is waited for not yet: it is taken then."""
SILENCE_SECONDS = 60.0
SLOW_SECONDS = 60.0
BEFORE_A_RESTART_SECONDS = 0.5

Incident = Callable[[OperatorProcess], None]


def killed(replica: OperatorProcess) -> None:
    """It is started again beside the standby."""
    replica.kill()


def away(seconds: float, replica: OperatorProcess) -> None:
    """Killed, and not started again for so long."""
    replica.kill()
    _in(BEFORE_A_RESTART_SECONDS, replica.pause)
    _in(seconds, replica.resume)


def lost(replica: OperatorProcess) -> None:
    replica.lose()


def stopped(replica: OperatorProcess) -> None:
    replica.stop()


def paused(replica: OperatorProcess) -> None:
    replica.pause()
    _in(PAUSE_SECONDS, replica.resume)


def paused_before_an_answer(replica: OperatorProcess) -> None:
    """When what it asks was just sent, and the API server has it. It goes on with what was true then."""
    _in(0.75 * latency.of("GET"), replica.pause)
    _in(WHILE_IT_WAITS_SECONDS, replica.resume)


def cut_off(replica: OperatorProcess) -> None:
    replica.conditions.silent_until = now() + SILENCE_SECONDS


def an_hour_ahead(replica: OperatorProcess) -> None:
    replica.skew = timedelta(hours=1)


def an_hour_behind(replica: OperatorProcess) -> None:
    replica.skew = timedelta(hours=-1)


def slow(seconds: float, replica: OperatorProcess) -> None:
    replica.conditions.answers_take = seconds
    _in(SLOW_SECONDS, partial(setattr, replica.conditions, "answers_take", 0.0))


def _in(seconds: float, act: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, act)
