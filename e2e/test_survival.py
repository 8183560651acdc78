"""Two replicas answer on while the operator, and the cluster's own parts, end and come back."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from e2e.cluster.cluster import Cluster
from e2e.lab.assassin import Assassin, Write
from e2e.lab.lab import ENGINE_START_SECONDS, Lab, Object, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import Outcome, Record, steady
from e2e.lab.watcher import LONGEST_LIE_SECONDS, longest_lie, watching
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "pair"
PROMPTS = ("tell me a story", "how far is the moon")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(lab: Lab) -> Lab:
    await lab.apply(a_model_version("tiny-a", "tiny-a"), a_deployment(NAME, "tiny-a", replicas=2))
    await lab.settled(NAME)
    return lab


# -- the operator --------------------------------------------------------------------------------------------

STATUS = Write("patch", "llmdeployments/status")
SERVICE = Write("patch", "services", NAME)
SCALING = ((Write("patch", "replicasets"),), (STATUS,))
REPLACING = (
    (Write("create", "controllerrevisions"), Write("create", "configmaps"), Write("create", "replicasets")),
    (STATUS,),
    (SERVICE,),  # it selects both colours
    (SERVICE, Write("patch", "controllerrevisions"), STATUS),  # and the new one alone, which is noted
    (Write("delete", "replicasets"),),
    (Write("delete", "configmaps"),),
)
"""The writes of an engine change in their order. Those in one line come one right after the other."""


@dataclass(frozen=True)
class Change:
    """A change of the spec, how often the operator is killed in it, and after which of its writes."""

    make: Callable[[Lab], Awaitable[None]]
    kills: int
    writes: tuple[tuple[Write, ...], ...]


async def _more(lab: Lab) -> None:
    await lab.edit(NAME, replicas=3)


async def _fewer(lab: Lab) -> None:
    await lab.edit(NAME, replicas=2)


async def _another_engine(lab: Lab) -> None:
    now = (await lab.get(resources.LLM_DEPLOYMENT, NAME))["spec"]["engine"]["maxConcurrentSequences"]
    await lab.edit(NAME, engine={"maxConcurrentSequences": 12 - now})


CHANGES = {
    "4": (Change(_more, 1, SCALING), Change(_fewer, 0, SCALING), Change(_another_engine, 3, REPLACING)),
    "20": 2 * (Change(_more, 2, SCALING), Change(_fewer, 2, SCALING), Change(_another_engine, 6, REPLACING)),
}
"""By the number of kills: 4 at each push, 20 each night, as a killed leader's Lease takes 15 s to end."""


async def test_an_operator_killed_again_and_again_finishes_every_change_and_loses_no_request(
    pair: Lab, cluster: Cluster
) -> None:
    kills, seed = os.environ.get("KILLS") or "4", int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"make e2e E2E=e2e/test_survival.py KILLS={kills} SEED={seed}")
    dice, began = random.Random(seed), time.monotonic()
    async with _clients(pair) as record:
        for change in CHANGES[kills]:
            pods = uids(await pair.pods(NAME))
            assassin = await Assassin.watching(cluster, pair, NAME)
            await change.make(pair)
            for step in sorted(dice.sample(range(len(change.writes)), change.kills)):
                print(await assassin.kill_after(dice.choice(change.writes[step]), ENGINE_START_SECONDS))
            await _has_come_about(pair, await pair.settled(NAME), pods)
    assert not record.failed, record.failed[:3]
    assert len(record.served) > 0.9 * (time.monotonic() - began), "about one request a second"


async def _has_come_about(lab: Lab, obj: Object, before: set[str]) -> None:
    """As many pods as wanted are there, of the same colour or all of another; the Service selects them."""
    pods, service = await lab.pods(NAME), await lab.get(resources.SERVICE, NAME)
    assert len(pods) == obj["spec"]["replicas"] == obj["status"]["readyReplicas"]
    now = uids(pods)
    assert now > before or now < before or not now & before
    for pod in pods:
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


# -- the cluster's own parts ---------------------------------------------------------------------------------

OUTAGE_SECONDS = 60.0
CONTROL_PLANE = ("apiserver", "controller-manager")
"""Where the controller manager is one of several it gives up at an outage, and begins anew when it leads
again. This cluster's own would go on, and take what it did not hear for the death of the node."""
RECOVERY_SECONDS = 120.0
"""The operator ends when it can't renew its Lease. kubelet waits up to 40 s between its attempts to start it
again, and up to a minute for the ConfigMap that it needs for that; then the old Lease has to run out."""
PROBING_SECONDS = 10.0
"""A kubelet before Kubernetes 1.35 that starts takes every pod for not ready until it has probed it."""


async def test_a_minute_without_an_api_server_costs_no_request_and_no_pod(
    pair: Lab, cluster: Cluster
) -> None:
    async with _no_pod_restarts(pair), _clients(pair) as record:
        for component in CONTROL_PLANE:
            await asyncio.to_thread(cluster.stop, component, "KILL")
        await asyncio.sleep(OUTAGE_SECONDS)
        for component in CONTROL_PLANE:
            await asyncio.to_thread(cluster.start, component)
        await _is_looked_after(pair, RECOVERY_SECONDS)
    assert not record.failed, record.failed[:3]


async def test_an_etcd_that_crashes_and_comes_back_costs_no_request_and_no_pod(
    pair: Lab, cluster: Cluster
) -> None:
    async with _no_pod_restarts(pair), _clients(pair) as record:
        await asyncio.to_thread(cluster.restart, "etcd", "KILL")
        await _is_looked_after(pair, RECOVERY_SECONDS)
    assert not record.failed, record.failed[:3]


async def test_a_kubelet_that_restarts_costs_no_pod_and_what_clients_see_of_it_is_told(
    pair: Lab, cluster: Cluster
) -> None:
    async with (
        _no_pod_restarts(pair),
        watching(pair.client, resources.LLM_DEPLOYMENT, pair.namespace, NAME) as sightings,
        _clients(pair) as record,
    ):
        restarted = time.monotonic()
        await asyncio.to_thread(cluster.restart, "kubelet", "KILL")
        await record.grows(int(2 * PROBING_SECONDS))
        await _is_looked_after(pair, RECOVERY_SECONDS)
    assert not [each for each in record.failed if each.began > restarted + PROBING_SECONDS], record.failed
    assert longest_lie(sightings, record.outcomes, time.monotonic()) <= LONGEST_LIE_SECONDS


@asynccontextmanager
async def _clients(lab: Lab) -> AsyncIterator[Record[Outcome]]:
    """One request a second, a few of them before the block and after it."""
    async with steady(await lab.url(NAME), PROMPTS) as record:
        await record.grows(3)
        yield record
        await record.grows(3)
    print(f"{len(record.outcomes)} requests, {len(record.failed)} failed")


@asynccontextmanager
async def _no_pod_restarts(lab: Lab) -> AsyncIterator[None]:
    """After the block the same containers run in the same pods as before it, since the same time."""
    before = await _running(lab)
    yield
    assert await _running(lab) == before


async def _running(lab: Lab) -> dict[str, list[Object]]:
    """The containers of each pod, by its uid."""
    kinds, keys = ("initContainerStatuses", "containerStatuses"), ("containerID", "restartCount", "state")
    return {
        pod["metadata"]["uid"]: [
            {key: container[key] for key in keys} for kind in kinds for container in pod["status"][kind]
        ]
        for pod in await lab.pods(NAME)
    }


async def _is_looked_after(lab: Lab, within: float) -> None:
    """The status is right for a new spec, and what is edited by hand is put back, in 5 s."""
    began = time.monotonic()
    deadline = (await lab.get(resources.LLM_DEPLOYMENT, NAME))["spec"]["rollout"]["progressDeadlineSeconds"]
    await lab.edit(NAME, rollout={"progressDeadlineSeconds": deadline + 1})
    await lab.settled(NAME, within)
    print(f"status right {time.monotonic() - began:.1f} s after the recovery")
    began, policy = time.monotonic(), await lab.get(resources.NETWORK_POLICY, NAME)
    await lab.patch(resources.NETWORK_POLICY, NAME, {"spec": {"ingress": []}})
    await lab.repaired(policy, lambda live: bool(live["spec"] == policy["spec"]))
    print(f"drift repaired in {time.monotonic() - began:.1f} s")
