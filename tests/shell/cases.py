"""What the operator does, on whichever API server: from custom resource to pods, repaired when disturbed.

`test_operator.py` runs each case on the fake in virtual time, `tests/contract/test_reconciler.py` on a real
kube-apiserver too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.builders import a_model_version
from tests.shell.rig import DAY, Rig, a_deployment
from tests.sim.server.refusals import refusal_of

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
from sluicegate.kube.transport import Query, Response, Stream, Transport
from sluicegate.shell.lease import LeadershipLost
from sluicegate.shell.operator import LEASE_NAME

ClusterOf = Callable[..., AbstractAsyncContextManager[Rig]]
"""Makes a cluster with an operator that runs and these custom resources."""

Case = Callable[[ClusterOf], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Enter the case under its own name."""
    CASES[function.__name__] = function
    return function


@case
async def a_deployment_becomes_ready(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        assert len(await rig.names(POD)) == 1
        assert len(await rig.names(REPLICA_SET)) == 1


@case
async def the_first_status_of_a_deployment_speaks_of_the_pods_that_were_made(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version()) as rig:
        since = await rig.version_of(LLM_DEPLOYMENT)
        await rig.create(a_deployment())
        async for event in rig.watch(LLM_DEPLOYMENT, since):
            status = event.object.get("status") or {}
            if status.get("observedGeneration") == 1:
                break
        assert status["rollout"]["step"] == "Provisioning"


@case
async def a_model_version_that_the_cache_learns_of_late_is_still_followed(a_cluster: ClusterOf) -> None:
    unverified = {**a_model_version(), "status": {}}
    async with a_cluster(unverified, a_deployment()) as rig:
        rig.wire.delay = lambda path: 5.0 if "modelversions" in path else 0.0
        await rig.settle()
        assert await rig.names(REPLICA_SET) == []
        status = {"status": a_model_version()["status"]}
        await rig.patch(MODEL_VERSION, "v1", status, "sluicegate-status", subresource="status")
        await rig.until_ready(seconds=60)


@case
async def a_model_version_made_with_its_deployment_is_never_missed(a_cluster: ClusterOf) -> None:
    async with a_cluster() as rig:
        rig.wire.delay = lambda path: 5.0 if "modelversions" in path else 0.0
        verified = a_model_version()
        # It is verified already: nobody inspects it.
        verified["metadata"]["annotations"] = {"sluicegate.dev/reconcile": "Disabled"}
        await rig.create(verified)
        since = await rig.version_of(LLM_DEPLOYMENT)
        await rig.create(a_deployment())
        reasons = set()
        async for event in rig.watch(LLM_DEPLOYMENT, since):
            conditions = (event.object.get("status") or {}).get("conditions") or ()
            reasons |= {each["reason"] for each in conditions}
            if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                break
        assert "ModelVersionNotFound" not in reasons


@case
async def a_deleted_child_and_an_edited_one_are_repaired_within_5_seconds(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods = await rig.names(POD)
        await rig.delete(SERVICE, "chat")
        selector = {"spec": {"selector": {"hijacked": "yes"}}}
        await rig.patch(SERVICE, "chat-preview", selector)
        await asyncio.sleep(5)
        assert {"chat", "chat-preview"} <= set(await rig.names(SERVICE))
        preview = await rig.get(SERVICE, "chat-preview")
        assert "hijacked" not in preview["spec"]["selector"]
        assert await rig.names(POD) == pods


@case
async def a_value_that_somebody_else_applied_as_well_is_taken_from_them_once(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        service = await rig.get(SERVICE, "chat")
        theirs = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat", "namespace": rig.site.namespace},
            "spec": {"selector": service["spec"]["selector"]},
        }
        await rig.truth.apply(theirs, "gitops")
        await rig.settle()
        writes = len(rig.writes())
        await asyncio.sleep(rig.site.idle_seconds)
        assert rig.writes()[writes:] == []
        managers = [each["manager"] for each in (await _managed(rig, "chat"))]
        assert "gitops" not in managers


@case
async def a_foreign_object_of_a_childs_name_is_reported_and_left_alone(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version()) as rig:
        foreign = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat", "namespace": rig.site.namespace},
            "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
        }
        before = await rig.truth.create(foreign, "kubectl")
        await rig.create(a_deployment())
        await rig.settle()
        stalled = next(each for each in (await rig.status())["conditions"] if each["type"] == "Stalled")
        assert stalled["reason"] == "NameConflict"
        assert await rig.get(SERVICE, "chat") == before
        await rig.delete(SERVICE, "chat")
        await rig.until_ready()


@case
async def a_write_that_is_refused_is_told_and_made_when_it_may_be(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.refuse = lambda method, path: (
            Response(403, b"exceeded quota: small")
            if method == "POST" and path.endswith("/replicasets")
            else None
        )
        await rig.create(a_deployment())
        await rig.settle()
        stalled = next(each for each in (await rig.status())["conditions"] if each["type"] == "Stalled")
        assert stalled["reason"] == "WriteRefused"
        assert "exceeded quota: small" in stalled["message"]
        assert "ReplicaSet" in stalled["message"]
        rig.wire.refuse = lambda method, path: None
        await rig.until_ready()


@case
async def a_write_that_a_silent_webhook_holds_up_is_told_and_does_not_stall(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.refuse = lambda method, path: (
            refusal_of(500, CONTROLLER_REVISION, "")
            if method == "POST" and path.endswith("/controllerrevisions")
            else None
        )
        await rig.create(a_deployment())
        await rig.settle()
        conditions = {each["type"]: each for each in (await rig.status())["conditions"]}
        assert "Stalled" not in conditions
        for kind in ("Ready", "Reconciling"):
            assert conditions[kind]["reason"] == "WriteRefused"
            assert 'failed calling webhook "policy.example.org"' in conditions[kind]["message"]
        rig.wire.refuse = lambda method, path: None
        await rig.until_ready()


@case
async def a_note_of_who_serves_that_somebody_edits_is_put_back(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.settle()
        before = await rig.get(SERVICE, "chat")
        await rig.patch(SERVICE, "chat", {"metadata": {"annotations": {"sluicegate.dev/exposes": "none"}}})
        await asyncio.sleep(2)
        after = await rig.get(SERVICE, "chat")
        assert after["metadata"]["annotations"]["sluicegate.dev/exposes"] != "none"
        assert after["spec"]["selector"] == before["spec"]["selector"]


@case
async def a_wiped_status_is_rebuilt_and_nothing_restarts(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods, before = await rig.names(POD), await rig.status()
        await rig.patch(LLM_DEPLOYMENT, "chat", {"status": None}, subresource="status")
        await rig.settle()
        after = await rig.status()
        assert after["serving"] == before["serving"]
        assert await rig.is_ready()
        assert await rig.names(POD) == pods


@case
async def a_restored_status_is_ours_alone_again(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        ready, *others = (await rig.status())["conditions"]
        moment = ready["lastTransitionTime"]
        old = {"id": "0", "fromVersion": "v0", "toVersion": "v1", "step": "Draining", "stepStartedAt": moment}
        stalled = {**ready, "type": "Stalled"}
        restored = {"status": {"rollout": old, "conditions": [ready, *others, stalled]}}
        await rig.patch(LLM_DEPLOYMENT, "chat", restored, "velero", subresource="status")
        await rig.settle()
        assert "rollout" not in await rig.status()
        assert await rig.condition("Stalled") is None


@case
async def reconciling_of_one_object_can_be_stopped_by_an_annotation(a_cluster: ClusterOf) -> None:
    stopped = a_deployment()
    stopped["metadata"]["annotations"] = {"sluicegate.dev/reconcile": "Disabled"}
    async with a_cluster(a_model_version(), stopped) as rig:
        await rig.settle()
        assert await rig.names(REPLICA_SET) == []
        assert not any("llmdeployments" in path for _, path in rig.writes())
        resumed = {"metadata": {"annotations": {"sluicegate.dev/reconcile": None}}}
        await rig.patch(LLM_DEPLOYMENT, "chat", resumed)
        await rig.until_ready()


@case
async def a_cache_that_never_learns_of_our_own_write_is_read_live_in_the_end(
    a_cluster: ClusterOf,
) -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.delay = lambda path: DAY if "replicasets" in path else 0
        await rig.create(a_deployment())
        await rig.until_ready(seconds=30)


@case
async def a_cache_that_lags_behind_a_deletion_never_deletes_twice(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_model_version("v2"), a_deployment()) as rig:
        await rig.until_ready()
        rig.wire.delay = lambda path: 3 if "replicasets" in path else 0
        wanted = {"spec": {"modelVersion": "v2"}}
        await rig.patch(LLM_DEPLOYMENT, "chat", wanted)
        await rig.until_serving("v2")
        await rig.until_left(REPLICA_SET, 1)
        await rig.settle()
        deletes = [path for method, path in rig.writes() if method == "DELETE" and "replicasets" in path]
        assert len(deletes) == 1
        assert (await rig.status())["serving"]["version"] == "v2"


@case
async def a_lost_record_is_restored_from_its_replica_set_and_no_pod_is_replaced(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        pods, records = await rig.names(POD), await rig.names(CONTROLLER_REVISION)
        for record in records:
            await rig.delete(CONTROLLER_REVISION, record)
        await asyncio.sleep(5)
        assert await rig.names(CONTROLLER_REVISION) == records
        assert await rig.names(POD) == pods


@case
async def a_write_whose_answer_was_lost_is_recognised_as_ours(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version()) as rig:
        lost = LosingAnswers(rig.site.server, LATE)
        rig.wire.server = lost
        rig.wire.delay = lambda path: LATE.get(path.rpartition("/")[2], 0.0)
        await rig.create(a_deployment())
        await rig.until_ready()
        assert lost.lost == {*LATE}
        assert len(await rig.names(REPLICA_SET)) == 1
        assert not any(each["type"] == "Stalled" for each in (await rig.status())["conditions"])


@case
async def an_operator_that_lost_the_lease_writes_nothing_more(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        taken = {"spec": {"holderIdentity": "another"}}
        await rig.truth.patch_merge(LEASE, rig.site.home, LEASE_NAME, taken, "another")
        rig.operator.lease._deadline = 0.0
        writes = len(rig.writes())
        await rig.delete(SERVICE, "chat")
        with pytest.raises(ExceptionGroup) as ended:
            async with asyncio.timeout(60):
                await rig.working
        assert ended.group_contains(LeadershipLost)
        assert rig.writes()[writes:] == []


@case
async def a_lease_that_is_lost_in_mid_pass_stops_the_writes_after_it(
    a_cluster: ClusterOf,
) -> None:
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


@case
async def deleting_it_removes_its_children_and_releases_the_model_version(a_cluster: ClusterOf) -> None:
    async with a_cluster(a_model_version(), a_deployment()) as rig:
        await rig.until_ready()
        await rig.delete(MODEL_VERSION, "v1")
        await rig.settle()
        assert await rig.names(MODEL_VERSION) == ["v1"], "it is in use"
        await rig.delete(LLM_DEPLOYMENT, "chat")
        for kind in (MODEL_VERSION, REPLICA_SET, SERVICE, CONFIG_MAP, POD):
            await rig.until_gone(kind)


async def _managed(rig: Rig, service: str) -> list[dict[str, Any]]:
    live = await rig.get(SERVICE, service)
    managed: list[dict[str, Any]] = live["metadata"]["managedFields"]
    return managed


# Seconds by which the caches learn late: each kind's write is tried again before it is seen, and no two kinds
# are seen at about the same time.
LATE = {"secrets": 0.5, "replicasets": 2.0, "services": 4.0, "poddisruptionbudgets": 6.0}


class LosingAnswers:
    """A server whose answer to each first write of an object of these kinds is lost after it was made."""

    def __init__(self, server: Transport, kinds: Iterable[str]) -> None:
        self.lost: set[str] = set()
        self._server = server
        self._kinds = frozenset(kinds)

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        answer = await self._server.request(method, path, query, body, content_type)
        kind = path.rpartition("/")[2]
        if method == "POST" and answer.status == 201 and kind in self._kinds:
            self.lost.add(kind)
            raise ConnectionResetError("lost")
        return answer

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self._server.stream(path, query)

    async def close(self) -> None: ...
