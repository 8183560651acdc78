"""Contract: the engines of the simulated pods take and refuse orders as a real supervisor does.

Both get the same orders, the real one by the operator's own client, and are asked what they say afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.engines import Engine, Pace, cancelled, ordered, went_on
from tests.engine.models import write_model
from tests.engine.pod import DIGEST, TOKEN, VERSION, Pod
from tests.engine.reloading import digest_of, order
from tests.engine.store import FakeStore
from tests.engine.test_reload import Start

from sluicegate.core.observed import Reloading
from sluicegate.core.plan import CancelReload, Inquire, Reload
from sluicegate.shell.pods import HttpPods, NoAnswer, Report

pytest_plugins = ("tests.engine.test_reload",)

AT_ONCE = Pace(stage=0.0, switch=0.0, end=lambda body: None)


class Both:
    """A real pod and a simulated engine that are told the same."""

    def __init__(self, pod: Pod, pods: HttpPods) -> None:
        self._pod = pod
        self._pods = pods
        self.engine = Engine({"version": VERSION, "digest": DIGEST})

    async def order(self, body: dict[str, Any]) -> tuple[str, str]:
        """Why each does not take it, "" where it does."""
        found = ordered(self.engine, body, 0.0)
        if isinstance(found, Engine):
            self.engine = found
        simulated = "" if isinstance(found, Engine) else found.partition(":")[0]
        try:
            report = await self._pods.reload(Reload("chat", "uid", self._pod.control, TOKEN, body, ""))
        except NoAnswer as refused:
            return simulated, str(refused).partition(":")[0]
        assert report.reload is not None
        return simulated, report.reload.message if report.reload.outcome == "Refused" else ""

    async def cancel(self) -> None:
        self.engine = cancelled(self.engine)
        await self._pods.cancel(CancelReload("chat", "uid", self._pod.control, TOKEN, ""))

    async def ended(self, outcome: str) -> None:
        """Wait until both are through."""
        self.engine = went_on(self.engine, AT_ONCE, 0.0)
        await self._pod.until_reload(outcome=outcome)

    async def say(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Version, sequence and the last order of each, but for its words."""
        simulated, engine = self.engine.told(), self.engine
        report = await self._pods.report(Inquire("chat", "uid", self._pod.control, TOKEN, ""))
        return (engine.version, engine.sequence, _essence(simulated)), _said(report)


def _said(report: Report) -> tuple[Any, ...]:
    return report.version, report.sequence, _essence(report.reload)


def _essence(told: Reloading | None) -> tuple[Any, ...] | None:
    return None if told is None else (told.digest, told.sequence, told.mode, told.outcome, told.reason)


@pytest.fixture
async def both(start: Start) -> AsyncIterator[Both]:
    pods = HttpPods()
    yield Both(await start(), pods)
    await pods.aclose()


async def test_a_stage_and_a_switch_end_alike(both: Both, model: Path) -> None:
    assert await both.order(order(model, "Stage", 1)) == ("", "")
    await both.ended("Staged")
    simulated, real = await both.say()
    assert simulated == real == (VERSION, 0, (digest_of(model), 1, "Stage", "Staged", ""))
    assert await both.order(order(model, "Switch", 1)) == ("", "")
    await both.ended("Committed")
    simulated, real = await both.say()
    assert simulated == real == ("model-b", 1, (digest_of(model), 1, "Switch", "Committed", ""))


async def test_what_has_been_done_is_not_begun_anew(both: Both, model: Path) -> None:
    await both.order(order(model, "Switch", 1))
    await both.ended("Committed")
    assert await both.order(order(model, "Switch", 1)) == ("", "")
    simulated, real = await both.say()
    assert simulated == real == ("model-b", 1, (digest_of(model), 1, "Switch", "Committed", ""))


async def test_an_order_that_is_not_newer_is_refused_by_both(both: Both, model: Path, tmp_path: Path) -> None:
    await both.order(order(model, "Switch", 2))
    await both.ended("Committed")
    for sequence in (1, 2):
        late = order(write_model(tmp_path / f"model-{sequence}", "c"), "Switch", sequence)
        assert await both.order(late) == ("SequenceStale", "SequenceStale")


async def test_two_orders_at_a_time_are_refused_by_both(
    both: Both, model: Path, tmp_path: Path, store: FakeStore
) -> None:
    store.gate.clear()
    await both.order(order(model, "Stage", 1))
    other = order(write_model(tmp_path / "model-c", "c"), "Stage", 1)
    assert await both.order(other) == ("ReloadUnderWay", "ReloadUnderWay")


@pytest.mark.parametrize("staged", [True, False])
async def test_what_is_given_up_ends_alike(both: Both, model: Path, store: FakeStore, staged: bool) -> None:
    if not staged:
        store.gate.clear()
    await both.order(order(model, "Stage", 1))
    if staged:
        await both.ended("Staged")
    await both.cancel()
    store.gate.set()
    await both.ended("Cancelled")
    simulated, real = await both.say()
    assert simulated == real == (VERSION, 0, (digest_of(model), 1, "Stage", "Cancelled", "Cancelled"))
