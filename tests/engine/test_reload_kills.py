"""Each process of a pod is killed at each moment of a reload: what clients see, and what comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.engine.models import write_model
from tests.engine.pod import VERSION, Pod
from tests.engine.reloading import golden, order, says, start_in
from tests.engine.store import FakeStore

Start = Callable[..., Awaitable[Pod]]
SUPERVISOR = "sluicegate_engine"
VICTIMS = {
    "supervisor": SUPERVISOR,
    "server": "tests.engine.fake_vllm",
    "engine core": "VLLM::EngineCore",
    "rank": "VLLM::Worker_TP1",
}
OLD, NEW = (VERSION, "a"), ("model-b", "b")
STREAM_TOKENS = 600
"""More than come before anybody is killed, however busy the machine."""


@dataclass(frozen=True)
class Moment:
    """A step that the engine never comes to the end of, and how the control port tells that it is there."""

    misbehaviour: str
    told: dict[str, str]
    mode: str = "Switch"
    cancelled: bool = False
    streaming: bool = False
    spoilt: bool = False
    """By golden prompts that the new weights do not answer."""
    committed: bool = False


MOMENTS = {
    "staging": Moment("stage-for-ever", {"phase": "Staging"}),
    "staged": Moment("", {"outcome": "Staged"}, mode="Stage"),
    "cancelling": Moment("release-for-ever", {"outcome": "Cancelled"}, mode="Stage", cancelled=True),
    "quiescing": Moment("", {"phase": "Quiescing"}, streaming=True),
    "pausing": Moment("pause-for-ever", {"phase": "Copying"}),
    "copying": Moment("switch-for-ever", {"phase": "Copying"}),
    "checking": Moment("checksum-for-ever", {"phase": "Checking"}),
    "resuming": Moment("resume-for-ever", {"phase": "Checking"}),
    "proving": Moment("proof-for-ever", {"phase": "Proving"}),
    "rolling back": Moment("restore-for-ever", {"phase": "RollingBack"}, spoilt=True),
    "committed": Moment("release-for-ever", {"phase": "Proving"}, committed=True),
}


@pytest.fixture
async def start(tmp_path: Path, store: FakeStore) -> AsyncIterator[Start]:
    pods: list[Pod] = []
    model = write_model(tmp_path / "model-a", "a")

    async def begin(place: str, misbehaviour: str = "", **options: object) -> Pod:
        flags = ("--tensor-parallel-size=2",)
        pods.append(await start_in(tmp_path / place, model, store, misbehaviour, flags, **options))
        await pods[-1].until("Serving")
        return pods[-1]

    yield begin
    for pod in pods:
        await pod.close()


async def answer(pod: Pod) -> tuple[str, str] | None:
    """The version that an answer names and the letter that it consists of; None where there is none."""
    try:
        return await says(pod)
    except (aiohttp.ClientError, KeyError):
        return None


async def reach(pod: Pod, moment: Moment, model: Path) -> None:
    spoiling: dict[str, Any] = {"golden": [golden("a")]} if moment.spoilt else {}
    await pod.order("/reload", order(model, moment.mode, **spoiling))
    if moment.cancelled:
        await pod.until_reload(outcome="Staged")
        await pod.order("/cancel")
    await pod.until_reload(**moment.told)
    if moment.committed:
        await pod.until_status(version=NEW[0])


async def end(pod: Pod, victim: str) -> None:
    """Kill it, and see the container end as it does then."""
    if victim != SUPERVISOR:
        os.kill(pod.engine_pid(victim), signal.SIGKILL)
        assert await pod.exit_code(seconds=60) == 1
        assert pod.statement["error"]["reason"] == "EngineDied"
        assert pod.pids() == []
        return
    os.kill(pod.process.pid, signal.SIGKILL)
    await pod.exit_code(seconds=60)
    # The kernel ends them all together with PID 1. Here the engine lives on, and lets nobody in.
    async with asyncio.timeout(10):
        while True:
            if await answer(pod) is None:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("victim", VICTIMS.values(), ids=VICTIMS)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
async def test_a_kill_leaves_one_version_that_was_proven_and_nothing_else(
    start: Start, tmp_path: Path, moment: Moment, victim: str
) -> None:
    model = write_model(tmp_path / "model-b", "b")
    pod = await start("pod", moment.misbehaviour)
    stream = await pod.complete(tokens=STREAM_TOKENS, stream=True) if moment.streaming else None
    await reach(pod, moment, model)
    held = asyncio.create_task(answer(pod))
    # when
    await end(pod, victim)
    # then nobody was answered by weights that were not proven
    proven = NEW if moment.committed else OLD
    assert await held in (proven, None)
    if stream is not None:
        stream.close()
    # and there is nothing left but, of a supervisor, what the next one with its pid does away with
    left = Path(tempfile.gettempdir()) / f"sluicegate-{pod.process.pid}"
    assert {path.name for path in left.glob("*")} == ({"gate", "stacks"} if victim == SUPERVISOR else set())
    # and it comes back on what is proven
    await pod.close()
    files = {name: pod.directory / f"{name}.json" for name in ("pointer", "committed")}
    again = await start("again", pointer=files["pointer"], record=files["committed"])
    assert await says(again) == proven
