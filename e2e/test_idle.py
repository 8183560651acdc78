"""A deployment that nobody touches makes the operator write nothing, and is still looked after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from e2e.cluster.cluster import Cluster
from e2e.lab.audit import requests
from e2e.lab.lab import Lab, uids
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUIET = timedelta(minutes=10)


async def test_ten_quiet_minutes_see_reads_only_and_a_drift_after_them_is_repaired(
    quiet: Lab, cluster: Cluster
) -> None:
    # given a deployment that has been settled for ten minutes, while resyncs ticked
    obj = await quiet.settled("vllm")
    ready = next(each for each in obj["status"]["conditions"] if each["type"] == "Ready")
    settled = datetime.fromisoformat(ready["lastTransitionTime"]) + timedelta(seconds=30)
    await asyncio.sleep(max(0.0, (settled + QUIET - datetime.now(UTC)).total_seconds()))
    until = datetime.now(UTC)
    asked = [
        each
        for each in requests(cluster.audit_log)
        if each.namespace == quiet.namespace and settled < each.at < until
    ]
    # then
    assert [each for each in asked if each.verb == "get"], "resyncs looked at it"
    assert not [each for each in asked if each.writes]
    # and when it is damaged right after
    pods = uids(await quiet.pods("vllm"))
    service = await quiet.get(resources.SERVICE, "vllm")
    await quiet.patch(resources.SERVICE, "vllm", {"spec": {"selector": {"app": "nobody"}}})
    await quiet.repaired(service, lambda live: live["spec"]["selector"] == service["spec"]["selector"])
    assert uids(await quiet.pods("vllm")) == pods
