"""Status is written where it says something new, and never twice for what the API server makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.builders import ADeployment
from tests.shell.rig import NAMESPACE, Rig

from sluicegate.kube.errors import Conflict
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.shell.apply import Applier
from sluicegate.shell.status import StatusWriter

pytestmark = pytest.mark.looptime(noop_cycles=1)

SINCE = "2026-01-01T00:00:00Z"
ROLLOUT = {"id": "1", "toVersion": "v2", "step": "Verifying", "stepStartedAt": SINCE}


def a_condition(kind: str, status: str = "True", reason: str = "Serving") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": SINCE,
    }


def a_status(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"observedGeneration": 1, "conditions": list(conditions)}


class World:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.writer = StatusWriter(Applier(rig.truth, rig.operator.view.own_writes))

    async def write(self, status: dict[str, Any] | None) -> bool:
        return await self.writer.write(await self.live(), status)

    async def live(self) -> dict[str, Any]:
        return await self.rig.truth.get(LLM_DEPLOYMENT, NAMESPACE, "chat")

    async def patch(self, status: dict[str, Any]) -> None:
        await self.rig.truth.patch_merge(
            LLM_DEPLOYMENT, NAMESPACE, "chat", {"status": status}, "somebody", subresource="status"
        )


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    rig = Rig()
    await rig.create(ADeployment().build())
    yield World(rig)


async def test_the_same_status_is_not_written_again_whatever_the_order_of_its_conditions() -> None:
    async with a_world() as world:
        ready, available = a_condition("Ready"), a_condition("Available")
        assert await world.write(a_status(ready, available))
        version = (await world.live())["metadata"]["resourceVersion"]
        assert not await world.write(a_status(available, ready))
        assert (await world.live())["metadata"]["resourceVersion"] == version


async def test_a_condition_left_out_is_removed() -> None:
    async with a_world() as world:
        await world.write(a_status(a_condition("Ready"), a_condition("Stalled")))
        assert await world.write(a_status(a_condition("Ready")))
        assert [each["type"] for each in (await world.live())["status"]["conditions"]] == ["Ready"]


async def test_what_somebody_else_added_is_taken_out() -> None:
    async with a_world() as world:
        restored = {
            "rollout": {**ROLLOUT, "fromVersion": "v0"},
            "conditions": [a_condition("Ready", "False"), a_condition("Stalled")],
        }
        await world.patch(restored)
        assert await world.write(a_status(a_condition("Ready")))
        assert (await world.live())["status"] == a_status(a_condition("Ready"))
        assert not await world.write(a_status(a_condition("Ready")))


async def test_a_part_of_what_stays_is_taken_out_of_it() -> None:
    async with a_world() as world:
        await world.patch({"rollout": {**ROLLOUT, "fromVersion": "v0"}})
        await world.write({**a_status(a_condition("Ready")), "rollout": ROLLOUT})
        assert (await world.live())["status"]["rollout"] == ROLLOUT


async def test_who_keeps_on_adding_the_same_is_opposed_once() -> None:
    async with a_world() as world:
        for _ in range(2):
            await world.patch({"conditions": [a_condition("Ready"), a_condition("Theirs")]})
            await world.write(a_status(a_condition("Ready")))
        assert not await world.write(a_status(a_condition("Ready")))
        kinds = {each["type"] for each in (await world.live())["status"]["conditions"]}
        assert kinds == {"Ready", "Theirs"}


async def test_what_could_not_be_taken_out_in_a_race_is_taken_out_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_world() as world:
        await world.patch({"conditions": [a_condition("Theirs")]})
        apply = world.rig.truth.apply

        async def overtaken(*args: Any, **options: Any) -> dict[str, Any]:
            stored = await apply(*args, **options)
            await world.patch({"phase": "Idle"})
            return stored

        monkeypatch.setattr(world.rig.truth, "apply", overtaken)
        with pytest.raises(Conflict):
            await world.write(a_status(a_condition("Ready")))
        monkeypatch.undo()
        await world.write(a_status(a_condition("Ready")))
        assert (await world.live())["status"] == a_status(a_condition("Ready"))


async def test_what_somebody_else_changed_is_put_right() -> None:
    async with a_world() as world:
        await world.write(a_status(a_condition("Ready")))
        await world.patch({"conditions": [a_condition("Ready", "False", "Tampered")]})
        assert await world.write(a_status(a_condition("Ready")))
        assert (await world.live())["status"]["conditions"][0]["status"] == "True"


async def test_no_status_is_no_write() -> None:
    async with a_world() as world:
        before = await world.live()
        await world.write(None)
        assert await world.live() == before


async def test_a_status_that_was_long_on_its_way_does_not_take_the_place_of_a_newer_one() -> None:
    async with a_world() as world:
        seen = await world.live()
        await world.write(a_status(a_condition("Ready", reason="Newer")))
        with pytest.raises(Conflict):
            await world.writer.write(seen, a_status(a_condition("Ready", reason="Older")))
        assert (await world.live())["status"]["conditions"][0]["reason"] == "Newer"


async def test_an_object_of_the_same_name_that_came_after_gets_none_of_it() -> None:
    async with a_world() as world:
        old = await world.live()
        await world.rig.truth.delete(LLM_DEPLOYMENT, NAMESPACE, "chat")
        await world.writer.write(old, a_status(a_condition("Ready")))
        assert await world.rig.names(LLM_DEPLOYMENT) == []
