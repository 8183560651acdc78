"""Killed before or after any of its writes, the operator converges to what it would have made anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.builders import a_model_version
from tests.shell.kit import running
from tests.shell.kubelet import Kubelet
from tests.shell.rig import NAMESPACE, Rig, a_deployment

from sluicegate.kube.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NETWORK_POLICY,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
)
from sluicegate.kube.transport import Query, Response, Stream, Transport

pytestmark = pytest.mark.looptime(noop_cycles=1)

CHILDREN = (REPLICA_SET, CONTROLLER_REVISION, CONFIG_MAP, SERVICE, SECRET, NETWORK_POLICY, POD)
SETTLED_SECONDS = 40.0

Change = Callable[[Rig], Awaitable[None]]


class Guillotine:
    """A way to the API server that ends before or after its nth write; the Lease's are not counted."""

    def __init__(self, server: Transport, at: int | None = None, *, after: bool = False) -> None:
        self.writes = 0
        self.fallen = asyncio.Event()
        self._server = server
        self._at = at
        self._after = after

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        if method == "GET" or "/leases" in path or "/events" in path:
            return await self._server.request(method, path, query, body, content_type)
        self.writes += 1
        falls = self.writes == self._at
        if falls and not self._after:
            await self._fall()
        answer = await self._server.request(method, path, query, body, content_type)
        if falls:
            await self._fall()
        return answer

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._server.stream(path, query)

    async def close(self) -> None: ...

    async def _fall(self) -> None:
        """Nothing of this process goes on: the caller waits until it is gone."""
        self.fallen.set()
        await asyncio.Event().wait()


async def nothing_but_made(rig: Rig) -> None:
    """The workload of a first start: there is nothing to do to it."""


async def another_version(rig: Rig) -> None:
    await _patch(rig, {"modelVersion": "v2"})


async def scaled_up(rig: Rig) -> None:
    await _patch(rig, {"replicas": 2})


async def deleted(rig: Rig) -> None:
    await rig.truth.delete(MODEL_VERSION, NAMESPACE, "v1")
    await rig.truth.delete(LLM_DEPLOYMENT, NAMESPACE, "chat")


async def _patch(rig: Rig, spec: dict[str, Any]) -> None:
    await rig.truth.patch_merge(LLM_DEPLOYMENT, NAMESPACE, "chat", {"spec": spec}, "kubectl")


async def after(change: Change, at: int | None = None, *, late: bool = False) -> tuple[dict[str, Any], int]:
    """What is there after a change during which the operator is killed once, and the writes until then."""
    rig = Rig()
    for version in ("v1", "v2"):
        await rig.create(a_model_version(version))
    await rig.create(a_deployment())
    async with running(Kubelet(rig.truth, NAMESPACE).run()):
        if change is not nothing_but_made:
            await _lives(rig, SETTLED_SECONDS)
            await change(rig)
        blade = Guillotine(rig.site.server, at, after=late)
        rig.wire.server = blade
        await _lives(rig, SETTLED_SECONDS, blade.fallen)
        rig.wire.server = rig.site.server
        if at is not None:
            assert blade.fallen.is_set()
            await _lives(rig, SETTLED_SECONDS)
        return await _end_state(rig), blade.writes


async def _lives(rig: Rig, seconds: float, killed: asyncio.Event | None = None) -> None:
    """One operator process, until it is killed or the time is over."""
    operator = rig.another("operator")
    parts = [operator.feed(), operator.work(), rig.host(operator)]
    tasks = [asyncio.create_task(part) for part in parts]
    over = asyncio.create_task((killed or asyncio.Event()).wait())
    await asyncio.wait([over, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    assert not any(task.done() for task in tasks)
    for task in (over, *tasks):
        task.cancel()
    await asyncio.wait([over, *tasks])


async def _end_state(rig: Rig) -> dict[str, Any]:
    """What must not depend on when the operator was killed: kinds by number, and what is said of them."""
    state: dict[str, Any] = {kind.kind: len(await rig.names(kind)) for kind in CHILDREN}
    state["ModelVersion"] = await rig.names(MODEL_VERSION)
    state["LLMDeployment"] = await rig.names(LLM_DEPLOYMENT)
    if state["LLMDeployment"]:
        status = await rig.status()
        state["said"] = {each["type"]: each["status"] for each in status["conditions"]}
        state["serving"] = status["serving"]["version"]
    return state


@pytest.mark.parametrize("change", [nothing_but_made, another_version, scaled_up, deleted])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_a_kill_at_any_write_ends_in_the_same_state(change: Change, late: bool) -> None:
    want, writes = await after(change)
    assert writes > 0
    for at in range(1, writes + 1):
        state, _ = await after(change, at, late=late)
        assert state == want, f"killed {'after' if late else 'before'} write {at} of {writes}"
