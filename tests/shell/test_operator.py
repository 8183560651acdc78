"""The whole shell in virtual time, beside the fake: every case, and what takes hours or a cache that lies."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import DEFAULTS, a_model_version
from tests.shell.cases import CASES
from tests.shell.kit import running, until
from tests.shell.rig import a_cluster, a_deployment

from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION
from sluicegate.kube.transport import Response
from sluicegate.shell.gather import Gatherer

# Nothing here waits for a socket, so time may jump as soon as nothing is left to do.
pytestmark = pytest.mark.looptime(noop_cycles=1)

SIX_HOURS = 6 * 3600.0


@pytest.mark.parametrize("name", CASES)
async def test_on_the_fake(name: str) -> None:
    await CASES[name](a_cluster)


async def test_six_idle_hours_have_no_write_while_resyncs_tick() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        writes, passes = len(rig.writes()), rig.meter.counts["reconciled", "LLMDeployment", "success"]
        await asyncio.sleep(SIX_HOURS)
        assert rig.writes()[writes:] == []
        ticks = rig.meter.counts["reconciled", "LLMDeployment", "success"] - passes
        assert SIX_HOURS / 660 - 2 <= ticks <= SIX_HOURS / 540 + 2


@pytest.mark.parametrize("seconds", [1, 20, 600])
async def test_caches_that_lag_behind_our_own_writes_never_double_them(seconds: float) -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.delay = lambda path: seconds if "replicasets" in path else 0
        await rig.create(a_deployment())
        await asyncio.sleep(5 * seconds + 60)
        creates = [path for method, path in rig.writes() if method == "POST" and "replicasets" in path]
        assert len(creates) == 1
        assert rig.meter.counts["stale", "ReplicaSet"] > 0


async def test_nothing_is_said_of_pods_before_their_cache_is_filled() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        await rig.end()
        rig.wire.refuse = lambda method, path: Response(503, b"") if path.endswith("/pods") else None
        successor, writes = rig.another(), len(rig.writes())
        async with running(rig.host(successor), successor.feed(), successor.work()):
            await until(successor.lease.acquired.is_set)
            await rig.settle()
            assert await rig.is_ready()
            rig.wire.refuse = lambda method, path: None
            await rig.settle()
        assert rig.writes()[writes:] == []


async def test_an_ending_is_told_once_it_is_on_record() -> None:
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), a_deployment()) as rig:
        await rig.until_ready()
        rig.wire.refuse = lambda method, path: (
            Response(500, b"away") if method == "PATCH" and "controllerrevisions" in path else None
        )
        await rig.patch(LLM_DEPLOYMENT, "chat", {"spec": {"modelVersion": "v2"}})
        await asyncio.sleep(60)
        assert (await rig.status())["rollout"]["step"] == "Cutover"
        rig.wire.refuse = lambda method, path: None
        await rig.until_serving("v2")
        await rig.settle()
        assert "rollout" not in await rig.status()


async def test_a_version_is_in_use_while_pods_run_it_whatever_spec_and_status_say() -> None:
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        await rig.end()
        await rig.patch(LLM_DEPLOYMENT, "chat", {"spec": {"modelVersion": "v2"}})
        await rig.patch(LLM_DEPLOYMENT, "chat", {"status": None}, subresource="status")
        await rig.delete(MODEL_VERSION, "v1")
        successor = rig.another()
        async with running(rig.host(successor), successor.feed()):
            await rig.settle()
            gather = Gatherer(rig.truth, successor.view, successor.calls, DEFAULTS)
            seen = await gather.model_version(await rig.get(MODEL_VERSION, "v1"))
        assert seen.users == ("chat",)


async def test_an_object_that_always_fails_does_not_slow_the_others() -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.refuse = lambda method, path: (
            Response(500, b"poison") if path.endswith("llmdeployments/poison") else None
        )
        await rig.create(a_deployment("poison"))
        await asyncio.sleep(600)
        await rig.create(a_deployment("chat"))
        await rig.until_ready("chat", seconds=15)
        assert 10 <= rig.meter.counts["reconciled", "LLMDeployment", "error"] <= 25
