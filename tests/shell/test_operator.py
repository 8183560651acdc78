"""The whole shell in virtual time: from custom resource to pods, quiet when idle, repaired when disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.builders import DEFAULTS, a_model_version
from tests.shell.rig import DAY, NAMESPACE, Rig, a_cluster, a_deployment
from tests.sim.apiserver import ApiServer

from sluicegate.kube.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    LEASE,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    POD,
    REPLICA_SET,
    SERVICE,
)
from sluicegate.kube.transport import Query, Response, Stream
from sluicegate.shell.lease import LeadershipLost
from sluicegate.shell.operator import LEASE_NAME

# Nothing here waits for a socket, so time may jump as soon as nothing is left to do.
pytestmark = pytest.mark.looptime(noop_cycles=1)


async def test_a_deployment_becomes_ready() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        assert len(await rig.names(POD)) == 1
        assert len(await rig.names(REPLICA_SET)) == 1


async def test_the_first_status_of_a_deployment_speaks_of_the_pods_that_were_made() -> None:
    async with a_cluster(a_model_version()) as rig:
        since = (await rig.truth.list(LLM_DEPLOYMENT)).resource_version
        await rig.create(a_deployment())
        async for event in rig.truth.watch(LLM_DEPLOYMENT, resource_version=since, seconds=DAY):
            status = event.object.get("status") or {}
            if status.get("observedGeneration") == 1:
                break
        assert status["rollout"]["step"] == "Provisioning"


async def test_a_model_version_that_the_cache_learns_of_late_is_still_followed() -> None:
    unverified = {**a_model_version(), "status": {}}
    async with a_cluster(unverified, a_deployment()) as rig:
        rig.wire.delay = lambda path: 5.0 if "modelversions" in path else 0.0
        await asyncio.sleep(60)
        assert await rig.names(REPLICA_SET) == []
        status = {"status": a_model_version()["status"]}
        await rig.truth.patch_merge(
            MODEL_VERSION, NAMESPACE, "v1", status, "sluicegate-status", subresource="status"
        )
        await rig.until_ready(seconds=60)


async def test_a_model_version_made_with_its_deployment_is_never_missed() -> None:
    async with a_cluster() as rig:
        rig.wire.delay = lambda path: 5.0 if "modelversions" in path else 0.0
        await rig.create(a_model_version())
        since = (await rig.truth.list(LLM_DEPLOYMENT)).resource_version
        await rig.create(a_deployment())
        reasons = set()
        async for event in rig.truth.watch(LLM_DEPLOYMENT, resource_version=since, seconds=DAY):
            conditions = (event.object.get("status") or {}).get("conditions") or ()
            reasons |= {each["reason"] for each in conditions}
            if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                break
        assert "ModelVersionNotFound" not in reasons


async def test_an_idle_day_has_no_write_while_resyncs_tick() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        writes, passes = len(rig.writes()), rig.meter.counts["reconciled", "LLMDeployment", "success"]
        await asyncio.sleep(DAY)
        assert rig.writes()[writes:] == []
        ticks = rig.meter.counts["reconciled", "LLMDeployment", "success"] - passes
        assert DAY / 660 - 2 <= ticks <= DAY / 540 + 2


async def test_a_deleted_child_and_an_edited_one_are_repaired_within_5_seconds() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods = await rig.names(POD)
        await rig.truth.delete(SERVICE, NAMESPACE, "chat")
        selector = {"spec": {"selector": {"hijacked": "yes"}}}
        await rig.truth.patch_merge(SERVICE, NAMESPACE, "chat-preview", selector, "kubectl")
        await asyncio.sleep(5)
        assert {"chat", "chat-preview"} <= set(await rig.names(SERVICE))
        preview = await rig.truth.get(SERVICE, NAMESPACE, "chat-preview")
        assert "hijacked" not in preview["spec"]["selector"]
        assert await rig.names(POD) == pods


async def test_a_value_that_somebody_else_applied_as_well_is_taken_from_them_once() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        service = await rig.truth.get(SERVICE, NAMESPACE, "chat")
        theirs = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat", "namespace": NAMESPACE},
            "spec": {"selector": service["spec"]["selector"]},
        }
        await rig.truth.apply(theirs, "gitops")
        await rig.settle()
        writes = len(rig.writes())
        await asyncio.sleep(3600)
        assert rig.writes()[writes:] == []
        managers = [each["manager"] for each in (await _managed(rig, "chat"))]
        assert "gitops" not in managers


async def test_a_foreign_object_of_a_childs_name_is_reported_and_left_alone() -> None:
    async with a_cluster(a_model_version()) as rig:
        foreign = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat", "namespace": NAMESPACE},
            "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
        }
        before = await rig.truth.create(foreign, "kubectl")
        await rig.create(a_deployment())
        await rig.settle()
        stalled = next(each for each in (await rig.status())["conditions"] if each["type"] == "Stalled")
        assert stalled["reason"] == "NameConflict"
        assert await rig.truth.get(SERVICE, NAMESPACE, "chat") == before
        await rig.truth.delete(SERVICE, NAMESPACE, "chat")
        await rig.until_ready()


async def test_a_wiped_status_is_rebuilt_and_nothing_restarts() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods, before = await rig.names(POD), await rig.status()
        await rig.truth.patch_merge(
            LLM_DEPLOYMENT, NAMESPACE, "chat", {"status": None}, "kubectl", subresource="status"
        )
        await rig.settle()
        after = await rig.status()
        assert after["serving"] == before["serving"]
        assert await rig.is_ready()
        assert await rig.names(POD) == pods


async def test_reconciling_of_one_object_can_be_stopped_by_an_annotation() -> None:
    stopped = a_deployment()
    stopped["metadata"]["annotations"] = {"sluicegate.dev/reconcile": "Disabled"}
    async with a_cluster(a_model_version(), stopped) as rig:
        await rig.settle()
        assert await rig.names(REPLICA_SET) == []
        assert not any("llmdeployments" in path for _, path in rig.writes())
        resumed = {"metadata": {"annotations": {"sluicegate.dev/reconcile": None}}}
        await rig.truth.patch_merge(LLM_DEPLOYMENT, NAMESPACE, "chat", resumed, "kubectl")
        await rig.until_ready()


@pytest.mark.parametrize("seconds", [1, 20, 600])
async def test_caches_that_lag_behind_our_own_writes_never_double_them(seconds: float) -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.delay = lambda path: seconds if "replicasets" in path else 0
        await rig.create(a_deployment())
        await asyncio.sleep(5 * seconds + 60)
        creates = [path for method, path in rig.writes() if method == "POST" and "replicasets" in path]
        assert len(creates) == 1
        assert rig.meter.counts["stale", "ReplicaSet"] > 0


async def test_a_cache_that_never_learns_of_our_own_write_is_read_live_after_5_seconds() -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.delay = lambda path: DAY if "replicasets" in path else 0
        await rig.create(a_deployment())
        await rig.until_ready(seconds=30)


async def test_a_cache_that_lags_behind_a_deletion_never_deletes_twice() -> None:
    async with a_cluster(a_model_version(), a_model_version("v2"), a_deployment()) as rig:
        await rig.until_ready()
        rig.wire.delay = lambda path: 3 if "replicasets" in path else 0
        wanted = {"spec": {"modelVersion": "v2"}}
        await rig.truth.patch_merge(LLM_DEPLOYMENT, NAMESPACE, "chat", wanted, "kubectl")
        await asyncio.sleep(120)
        deletes = [path for method, path in rig.writes() if method == "DELETE" and "replicasets" in path]
        assert len(deletes) == 1
        assert (await rig.status())["serving"]["version"] == "v2"


async def test_a_lost_record_is_restored_from_its_replica_set_and_no_pod_is_replaced() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods, records = await rig.names(POD), await rig.names(CONTROLLER_REVISION)
        for record in records:
            await rig.truth.delete(CONTROLLER_REVISION, NAMESPACE, record)
        await asyncio.sleep(5)
        assert await rig.names(CONTROLLER_REVISION) == records
        assert await rig.names(POD) == pods


async def test_a_write_whose_answer_was_lost_is_recognised_as_ours() -> None:
    async with a_cluster(a_model_version()) as rig:
        lost = LosingAnswers(rig.server)
        rig.wire.server = lost
        await rig.create(a_deployment())
        await rig.settle()
        rig.wire.server = rig.server
        await rig.until_ready()
        assert lost.lost > 5
        assert len(await rig.names(REPLICA_SET)) == 1
        assert not any(each["type"] == "Stalled" for each in (await rig.status())["conditions"])


async def test_an_operator_that_lost_the_lease_writes_nothing_more() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        taken = {"spec": {"holderIdentity": "another"}}
        await rig.truth.patch_merge(LEASE, DEFAULTS.operator_namespace, LEASE_NAME, taken, "another")
        rig.operator.lease._deadline = 0.0
        writes = len(rig.writes())
        await rig.truth.delete(SERVICE, NAMESPACE, "chat")
        with pytest.raises(ExceptionGroup) as ended:
            async with asyncio.timeout(60):
                await rig.working
        assert ended.group_contains(LeadershipLost)
        assert rig.writes()[writes:] == []


async def test_a_lease_that_is_lost_in_the_middle_of_a_pass_stops_the_writes_after_it() -> None:
    async with a_cluster(a_model_version()) as rig:
        before = len(rig.writes())

        def loses_the_lease(method: str, path: str) -> None:
            if method == "POST" and path.endswith("/secrets"):
                rig.operator.lease._deadline = 0.0

        rig.wire.refuse = loses_the_lease
        await rig.create(a_deployment())
        with pytest.raises(ExceptionGroup) as ended:
            async with asyncio.timeout(60):
                await rig.working
        assert ended.group_contains(LeadershipLost)
        assert [path.rpartition("/")[2] for _, path in rig.writes()[before:]] == ["secrets"]


async def test_deleting_it_removes_its_children_and_releases_the_model_version() -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.truth.delete(MODEL_VERSION, NAMESPACE, "v1")
        await rig.settle()
        assert await rig.names(MODEL_VERSION) == ["v1"], "it is in use"
        await rig.truth.delete(LLM_DEPLOYMENT, NAMESPACE, "chat")
        await rig.settle()
        for kind in (MODEL_VERSION, REPLICA_SET, SERVICE, CONFIG_MAP, POD):
            assert await rig.names(kind) == []


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


async def _managed(rig: Rig, service: str) -> list[dict[str, Any]]:
    live = await rig.truth.get(SERVICE, NAMESPACE, service)
    managed: list[dict[str, Any]] = live["metadata"]["managedFields"]
    return managed


class LosingAnswers:
    """A server whose answer to each first write of an object is lost after the write was made."""

    def __init__(self, server: ApiServer) -> None:
        self.lost = 0
        self._server = server

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        answer = await self._server.request(method, path, query, body, content_type)
        if method == "POST" and answer.status == 201:
            self.lost += 1
            raise ConnectionResetError("lost")
        return answer

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._server.stream(path, query)

    async def close(self) -> None: ...
