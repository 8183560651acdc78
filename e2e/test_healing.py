"""A deployment of two replicas heals from what pods, people and the operator's own end do to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio

from e2e.cluster.cluster import Cluster
from e2e.install import Installation
from e2e.lab.engines import kill_engine
from e2e.lab.lab import Lab, Object, condition, is_ready, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.streams import streaming
from e2e.lab.traffic import Outcome, Record, traffic
from sluicegate.kube import resources
from sluicegate.kube.resources import Resource

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "pair"
PROMPTS = ("tell me a story", "how far is the moon")
STREAM_TOKENS = 48
NOTICED_SECONDS = 5.0
"""A dead engine ends its container in a second, kubelet sees it in another, kube-proxy in a third."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(lab: Lab) -> Lab:
    # Nobody makes the record of what is over again, so none is kept.
    deployment = a_deployment(NAME, "tiny-a", replicas=1, rollout={"historyLimit": 0})
    await lab.apply(a_model_version("tiny-a", "tiny-a"), deployment)
    await lab.settled(NAME)
    return lab


async def test_scaling_by_the_spec_adds_a_replica_without_losing_readiness(pair: Lab) -> None:
    # given one replica and its clients
    first = uids(await pair.pods(NAME))
    async with traffic(await pair.url(NAME), PROMPTS, clients=2) as record:
        # when
        await pair.edit(NAME, replicas=2)
        obj = await pair.settled(NAME)
        await record.grows(4)
    # then
    assert not record.failed, record.failed[:3]
    assert first < uids(await pair.pods(NAME))
    assert obj["status"]["readyReplicas"] == 2


async def test_a_pod_that_is_deleted_ends_its_answers_and_no_request_is_lost(pair: Lab) -> None:
    # given streams to two replicas
    await pair.settled(NAME)
    victim = (await pair.pods(NAME))[0]["metadata"]["name"]
    async with streaming(await pair.url(NAME), PROMPTS, clients=4, tokens=STREAM_TOKENS) as record:
        await record.grows(8)
        # when
        await pair.delete(resources.POD, victim)
        await pair.until_gone(resources.POD, victim)
        await pair.settled(NAME)
        await record.grows(8)
    # then
    assert not record.failed, record.failed[:3]


async def test_a_pod_killed_by_force_costs_at_most_what_it_was_answering(pair: Lab) -> None:
    victim = (await pair.pods(NAME))[0]["metadata"]["name"]
    await _survives(pair, lambda: pair.delete(resources.POD, victim, grace_seconds=0))


async def test_an_engine_killed_inside_its_pod_is_restarted_and_the_other_replica_serves_on(
    pair: Lab, cluster: Cluster
) -> None:
    victim = (await pair.pods(NAME))[0]["metadata"]["name"]
    await _survives(pair, lambda: kill_engine(cluster, pair, victim))


async def test_an_operator_killed_in_the_middle_of_a_change_finishes_it_later(
    pair: Lab, operator: Installation
) -> None:
    # given a change under way
    async with traffic(await pair.url(NAME), PROMPTS, clients=2) as record:
        await pair.edit(NAME, engine={"maxConcurrentSequences": 4})
        await pair.until(
            resources.LLM_DEPLOYMENT, NAME, lambda obj: condition(obj, "Reconciling") is not None, 20
        )
        # when
        await operator.kill(pair.client)
        await pair.settled(NAME)
        await record.grows(4)
    # then
    assert not record.failed, record.failed[:3]


async def test_a_wiped_status_is_rebuilt_and_no_pod_restarts(pair: Lab) -> None:
    # given
    before = await pair.settled(NAME)
    pods = uids(await pair.pods(NAME))
    # when
    await pair.patch(resources.LLM_DEPLOYMENT, NAME, {"status": None}, subresource="status")
    after = await pair.ready(NAME, within=15)
    # then
    assert after["status"]["serving"] == before["status"]["serving"]
    assert uids(await pair.pods(NAME)) == pods


async def test_an_operator_of_another_image_tag_restarts_no_pod(pair: Lab, operator: Installation) -> None:
    pods = uids(await pair.pods(NAME))
    async with operator.of_another_release(pair.client):
        # every object was looked at again when the new operator began to lead
        await pair.edit(NAME, rollout={"progressDeadlineSeconds": 1700})
        await pair.ready(NAME, within=60)
        assert uids(await pair.pods(NAME)) == pods
    assert is_ready(await pair.get(resources.LLM_DEPLOYMENT, NAME))


async def _edit_selector(lab: Lab) -> Object:
    return await lab.patch(resources.SERVICE, NAME, {"spec": {"selector": {"app": "somebody-else"}}})


async def _edit_template(lab: Lab) -> Object:
    replica_set = await _replica_set(lab)
    containers = replica_set["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [*containers[0].get("env", []), {"name": "ADDED_BY_HAND", "value": "1"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    return await lab.patch(resources.REPLICA_SET, replica_set["metadata"]["name"], patch)


async def _edit_pointer(lab: Lab) -> Object:
    name = f"{(await _replica_set(lab))['metadata']['name']}-model"
    return await lab.patch(resources.CONFIG_MAP, name, {"data": {"pointer.json": "{}"}})


async def _edit_budget(lab: Lab) -> Object:
    return await lab.patch(resources.DISRUPTION_BUDGET, NAME, {"spec": {"maxUnavailable": 0}})


async def _edit_policy(lab: Lab) -> Object:
    return await lab.patch(resources.NETWORK_POLICY, NAME, {"spec": {"ingress": []}})


async def _edit_secret(lab: Lab) -> Object:
    return await lab.patch(resources.SECRET, f"{NAME}-control", {"data": {"token": "AAAA"}})


async def _replica_set(lab: Lab) -> Object:
    return (await lab.all(resources.REPLICA_SET, **{"sluicegate.dev/deployment": NAME}))[0]


async def _add_port(lab: Lab) -> Object:
    service = await lab.get(resources.SERVICE, NAME)
    ports = [*service["spec"]["ports"], {"name": "theirs", "port": 81, "targetPort": 81}]
    return await lab.patch(resources.SERVICE, NAME, {"spec": {"ports": ports}})


async def _add_egress(lab: Lab) -> Object:
    return await lab.patch(resources.NETWORK_POLICY, NAME, {"spec": {"egress": [{}]}})


EDITS: dict[str, Callable[[Lab], Awaitable[Object]]] = {
    "the Service's selector": _edit_selector,
    "an env variable in the template": _edit_template,
    "the pointer": _edit_pointer,
    "the PodDisruptionBudget": _edit_budget,
    "the NetworkPolicy": _edit_policy,
    "the control token": _edit_secret,
    "a port beside the Service's own": _add_port,
    "a rule beside the NetworkPolicy's own": _add_egress,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_what_is_edited_by_hand_is_put_back_and_no_pod_is_replaced(
    pair: Lab, edit: Callable[[Lab], Awaitable[Object]]
) -> None:
    # given
    pods = uids(await pair.pods(NAME))
    before = {kind: await _content(pair, kind) for kind in OWNED}
    # when
    edited = await edit(pair)
    # then
    kind = next(kind for kind in OWNED if kind.kind == edited["kind"])
    await _same_content(pair, kind, before[kind])
    assert uids(await pair.pods(NAME)) == pods


OWNED = (
    resources.SERVICE,
    resources.REPLICA_SET,
    resources.CONFIG_MAP,
    resources.DISRUPTION_BUDGET,
    resources.NETWORK_POLICY,
    resources.SECRET,
    resources.CONTROLLER_REVISION,
)


@pytest.mark.parametrize("kind", OWNED, ids=str)
async def test_what_is_deleted_by_hand_is_made_again_and_no_pod_is_replaced(
    pair: Lab, kind: Resource
) -> None:
    # given
    pods = uids(await pair.pods(NAME))
    before = await _content(pair, kind)
    # when every object of the kind is deleted, pods left alone
    for name in before:
        await pair.delete(kind, name, propagation="Orphan")
    # then
    await _same_content(pair, kind, before)
    await pair.ready(NAME, within=15)
    assert uids(await pair.pods(NAME)) == pods


@pytest.mark.parametrize("kind", OWNED, ids=str)
async def test_what_is_relabelled_by_hand_is_found_again(pair: Lab, kind: Resource) -> None:
    for before in await pair.all(kind, **{"sluicegate.dev/deployment": NAME}):
        labels = before["metadata"]["labels"]
        theirs = {"metadata": {"labels": {"sluicegate.dev/deployment": "theirs"}}}
        await pair.patch(kind, before["metadata"]["name"], theirs)
        await pair.repaired(before, partial(_has_labels, labels))


def _has_labels(labels: Object, live: Object) -> bool:
    return bool(live["metadata"]["labels"] == labels)


async def test_who_applies_the_same_becomes_no_second_owner(pair: Lab) -> None:
    budget = await pair.get(resources.DISRUPTION_BUDGET, NAME)
    same = {key: budget[key] for key in ("apiVersion", "kind", "spec")}
    await pair.apply({**same, "metadata": {"name": NAME}})

    def is_ours_alone(live: Object) -> bool:
        entries = live["metadata"]["managedFields"]
        return not [each for each in entries if each["manager"] == "e2e" and "f:spec" in each["fieldsV1"]]

    await pair.repaired(budget, is_ours_alone)


async def test_labels_and_annotations_of_others_stay(pair: Lab) -> None:
    for kind in OWNED:
        for name in await _content(pair, kind):
            notes = {"labels": {"team": "search"}, "annotations": {"example.com/note": "kept"}}
            await pair.patch(kind, name, {"metadata": notes})
    # given a reason to write the objects
    for kind, edit in ((resources.SERVICE, _edit_selector), (resources.NETWORK_POLICY, _edit_policy)):
        before = await _content(pair, kind)
        await edit(pair)
        await _same_content(pair, kind, before)
    for kind in OWNED:
        for obj in await pair.all(kind, **{"sluicegate.dev/deployment": NAME}):
            assert obj["metadata"]["labels"]["team"] == "search", obj["metadata"]
            assert obj["metadata"]["annotations"]["example.com/note"] == "kept"


async def test_scaling_through_the_scale_subresource_removes_a_replica(pair: Lab) -> None:
    async with traffic(await pair.url(NAME), PROMPTS, clients=2) as record:
        await pair.patch(resources.LLM_DEPLOYMENT, NAME, {"spec": {"replicas": 1}}, subresource="scale")
        await pair.settled(NAME)
        await record.grows(4)
    scale = await pair.client.get(resources.LLM_DEPLOYMENT, pair.namespace, NAME, "scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    assert not record.failed, record.failed[:3]


async def _survives(pair: Lab, harm: Callable[[], Awaitable[None]]) -> None:
    """Harm comes to one of two replicas; only requests that it was answering, or was sent at once, fail."""
    await pair.settled(NAME)
    async with traffic(await pair.url(NAME), PROMPTS, clients=4) as record:
        await record.grows(8)
        harmed = time.monotonic()
        await harm()
        await _has_noticed(pair)
        await pair.settled(NAME)
        await record.grows(8)
    late = [each for each in record.failed if each.began > harmed + NOTICED_SECONDS]
    assert not late, late[:3]
    assert len(record.failed) <= _in_danger(record, harmed)


def _in_danger(record: Record[Outcome], harmed: float) -> int:
    """Requests that were on their way or began before the harm was noticed."""

    def exposed(each: Outcome) -> bool:
        return each.ended >= harmed and each.began <= harmed + NOTICED_SECONDS

    return sum(exposed(each) for each in record.outcomes)


async def _has_noticed(pair: Lab) -> None:
    await pair.until(
        resources.LLM_DEPLOYMENT, NAME, lambda obj: condition(obj, "Reconciling") is not None, within=20
    )


async def _content(lab: Lab, kind: Resource) -> dict[str, Object]:
    """What the deployment's objects of a kind say, without what the API server notes on them."""
    found = await lab.all(kind, **{"sluicegate.dev/deployment": NAME})
    # A lost record is restored from the ReplicaSet, with the defaults that the API server filled in there.
    keys = ("spec", "type") if kind is resources.CONTROLLER_REVISION else ("spec", "data", "type")
    return {obj["metadata"]["name"]: {key: obj[key] for key in keys if key in obj} for obj in found}


async def _same_content(lab: Lab, kind: Resource, before: dict[str, Object], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while (now := _comparable(await _content(lab, kind))) != _comparable(before) and before:
        assert time.monotonic() < deadline, f"not repaired within {within:.0f} s: {now}, was {before}"
        await asyncio.sleep(0.1)


def _comparable(content: dict[str, Object]) -> dict[str, Object]:
    """A Service that was made again has another address."""
    addresses = ("clusterIP", "clusterIPs")
    return {
        name: {
            **body,
            **(
                {"spec": {k: v for k, v in body["spec"].items() if k not in addresses}}
                if "spec" in body
                else {}
            ),
        }
        for name, body in content.items()
    }
