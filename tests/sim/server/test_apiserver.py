"""What the fake API server does beyond the contract: its clock, its collector, its history."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, closing
from typing import Any

import looptime
import pytest
from tests.contract.objects import Object, config_map, having, network_policy, pod, replica_set, service
from tests.contract.run import crd
from tests.sim.apiserver import ApiServer
from tests.sim.server.apply import managers_of
from tests.sim.server.defaults import canonical
from tests.sim.server.front import served

from sluicegate.kube import errors, resources
from sluicegate.kube.client import Client, WatchEvent

NAMESPACE = "default"


@pytest.fixture
def server() -> ApiServer:
    return ApiServer([crd()])


@pytest.fixture
def client(server: ApiServer) -> Client:
    return Client(server)


def there(obj: Object, **metadata: Any) -> Object:
    return having(obj, namespace=NAMESPACE, **metadata)


async def names(client: Client) -> list[str]:
    return [item["metadata"]["name"] for item in (await client.list(resources.CONFIG_MAP)).items]


def owner(obj: Object, **more: Any) -> Object:
    meta = obj["metadata"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], **more}


async def family(client: Client, **reference: Any) -> Object:
    """An owner, a child of it and a grandchild; answers the owner."""
    parent = await client.create(there(config_map("parent")), "me")
    child = there(config_map("child"), ownerReferences=[owner(parent, **reference)])
    child = await client.create(child, "me")
    await client.create(there(config_map("grandchild"), ownerReferences=[owner(child)]), "me")
    return parent


# --- garbage ----------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_dependents_follow_their_owner_in_the_background(client: Client) -> None:
    await family(client)

    await client.delete(resources.CONFIG_MAP, NAMESPACE, "parent")

    assert await names(client) == ["child", "grandchild"]
    await asyncio.sleep(0.1)
    assert await names(client) == []


@pytest.mark.looptime
async def test_an_owner_deleted_in_the_foreground_outlives_its_dependents(client: Client) -> None:
    parent = await family(client, blockOwnerDeletion=True)
    listed = await client.list(resources.CONFIG_MAP)

    await client.delete(resources.CONFIG_MAP, NAMESPACE, "parent", propagation="Foreground")
    await asyncio.sleep(0.1)

    events = await read(client, 5, resource_version=listed.resource_version)
    deleted = [event.object["metadata"]["name"] for event in events if event.type == "DELETED"]
    assert deleted[-1] == parent["metadata"]["name"]
    assert set(deleted) >= {"child", "parent"}


@pytest.mark.looptime
async def test_an_orphaned_dependent_stays_and_forgets_its_owner(client: Client) -> None:
    await family(client)

    await client.delete(resources.CONFIG_MAP, NAMESPACE, "parent", propagation="Orphan")
    await asyncio.sleep(0.1)

    assert await names(client) == ["child", "grandchild"]
    child = await client.get(resources.CONFIG_MAP, NAMESPACE, "child")
    assert "ownerReferences" not in child["metadata"]


@pytest.mark.looptime
async def test_a_dependent_with_another_owner_left_stays(client: Client) -> None:
    first, second = [await client.create(there(config_map(name)), "me") for name in ("a", "b")]
    await client.create(there(config_map("child"), ownerReferences=[owner(first), owner(second)]), "me")

    await client.delete(resources.CONFIG_MAP, NAMESPACE, "a")
    await asyncio.sleep(0.1)

    child = await client.get(resources.CONFIG_MAP, NAMESPACE, "child")
    assert [each["name"] for each in child["metadata"]["ownerReferences"]] == ["b"]


@pytest.mark.looptime
async def test_an_object_born_to_a_dead_owner_goes_too(client: Client) -> None:
    dead = {"apiVersion": "v1", "kind": "ConfigMap", "name": "dead", "uid": "no-such-uid"}
    await client.create(there(config_map("child"), ownerReferences=[dead]), "me")

    await asyncio.sleep(0.1)

    assert await names(client) == []


async def test_garbage_waits_for_the_test_where_it_says_so() -> None:
    server = ApiServer(gc_seconds=None)
    client = Client(server)
    await family(client)
    await client.delete(resources.CONFIG_MAP, NAMESPACE, "parent")

    before = await names(client)
    server.collect_garbage()

    assert (before, await names(client)) == (["child", "grandchild"], [])


@pytest.mark.looptime
async def test_a_collected_pod_on_a_node_is_left_to_its_kubelet(client: Client) -> None:
    parent = await client.create(there(config_map("parent")), "me")
    await client.create(there(pod(nodeName="n1"), ownerReferences=[owner(parent)]), "me")

    await client.delete(resources.CONFIG_MAP, NAMESPACE, "parent")
    await asyncio.sleep(0.1)

    assert "deletionTimestamp" in (await client.get(resources.POD, NAMESPACE, "p"))["metadata"]


# --- watches and history ----------------------------------------------------------------------------


async def read(client: Client, count: int, **options: Any) -> list[WatchEvent]:
    """The first events of a watch of ConfigMaps."""
    seen: list[WatchEvent] = []
    async with aclosing(client.watch(resources.CONFIG_MAP, NAMESPACE, **options)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


@pytest.mark.looptime
async def test_a_silent_watch_brings_a_bookmark_each_minute_and_one_at_its_end(client: Client) -> None:
    loop = asyncio.get_running_loop()
    listed = await client.list(resources.CONFIG_MAP)
    started, times = loop.time(), []

    async for event in client.watch(
        resources.CONFIG_MAP, resource_version=listed.resource_version, seconds=150
    ):
        assert event.type == "BOOKMARK"
        times.append(loop.time() - started)

    assert times == pytest.approx([60, 120, 150])


@pytest.mark.looptime
@pytest.mark.parametrize("bookmarks", ["true", "false"])
async def test_a_watch_ends_on_time_whenever_it_began(server: ApiServer, bookmarks: str) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1 / 3)
    started = loop.time()
    query = {"allowWatchBookmarks": bookmarks, "timeoutSeconds": "150"}

    async with server.stream(resources.CONFIG_MAP.path(), query) as stream:
        lines = [line async for line in stream.chunks]

    assert loop.time() - started == pytest.approx(150, abs=0.01)
    assert len(lines) == (3 if bookmarks == "true" else 0)


@pytest.mark.looptime
async def test_a_watch_sees_a_change_the_moment_it_happens(client: Client) -> None:
    loop = asyncio.get_running_loop()
    listed = await client.list(resources.CONFIG_MAP)
    watch = asyncio.create_task(read(client, 1, resource_version=listed.resource_version))
    await asyncio.sleep(10)

    await client.create(there(config_map()), "me")
    (event,) = await watch

    assert event.type == "ADDED"
    assert loop.time() == pytest.approx(10)


@pytest.mark.looptime
async def test_a_bookmark_lets_a_watch_go_on_after_a_compaction(server: ApiServer, client: Client) -> None:
    first = await client.create(there(config_map()), "me")
    await client.create(there(service()), "me")
    (_, bookmark) = await read(client, 2, resource_version=str(server.store.compacted))
    server.store.compact()

    with pytest.raises(errors.Gone):
        await read(client, 1, resource_version=first["metadata"]["resourceVersion"])
    version = bookmark.object["metadata"]["resourceVersion"]
    assert [event.type for event in await read(client, 1, resource_version=version)] == ["BOOKMARK"]


async def test_a_version_from_before_the_beginning_is_gone(client: Client) -> None:
    with pytest.raises(errors.Gone):
        await read(client, 1, resource_version="1")


async def first_page(server: ApiServer, client: Client) -> str:
    """The token of the second page of three ConfigMaps, with a fourth born since."""
    for name in ("a", "b", "c"):
        await client.create(there(config_map(name)), "me")
    page = await server.request("GET", resources.CONFIG_MAP.path(), {"limit": "2"}, None, "")
    await client.create(there(config_map("late")), "me")
    return str(json.loads(page.body)["metadata"]["continue"])


async def test_the_pages_of_a_list_are_of_one_version(server: ApiServer, client: Client) -> None:
    token = await first_page(server, client)

    rest = await server.request("GET", resources.CONFIG_MAP.path(), {"continue": token}, None, "")

    assert [item["metadata"]["name"] for item in json.loads(rest.body)["items"]] == ["c"]


async def test_a_page_of_a_compacted_version_is_gone(server: ApiServer, client: Client) -> None:
    token = await first_page(server, client)
    server.store.compact()

    rest = await server.request("GET", resources.CONFIG_MAP.path(), {"continue": token}, None, "")

    assert rest.status == 410


# --- the server itself ------------------------------------------------------------------------------


async def life() -> str:
    server = ApiServer([crd()])
    client = Client(server)
    await client.create(there(replica_set()), "me")
    await client.apply(there(replica_set(), labels={"a": "b"}), "me", force=True)
    await client.create({**config_map(), "metadata": {"generateName": "x-", "namespace": NAMESPACE}}, "me")
    await client.delete(resources.REPLICA_SET, NAMESPACE, "chat-1")
    await asyncio.sleep(1)
    return json.dumps([[change.version, change.key, change.type, change.new] for change in server.store.log])


def test_two_runs_of_the_same_requests_are_equal() -> None:
    def run() -> str:
        with closing(looptime.new_event_loop()) as loop:
            return loop.run_until_complete(life())

    assert run() == run()


async def test_who_owns_what_of_a_stored_object_is_what_its_managed_fields_say(
    server: ApiServer, client: Client
) -> None:
    await client.create(there(replica_set("it")), "zoe")
    await client.patch_merge(resources.REPLICA_SET, NAMESPACE, "it", {"spec": {"replicas": 7}}, "bob")
    # The last to come is the first in the list.
    await client.apply(there(having(replica_set("it"), labels={"by": "ann"})), "ann", force=True)

    stored = server.find(resources.REPLICA_SET, NAMESPACE, "it")

    assert stored is not None
    assert list(stored.managers.items()) == list(managers_of(stored).items())


async def test_the_emptiest_of_specs_is_filled_each_time(client: Client) -> None:
    emptiest = having(network_policy(), namespace=NAMESPACE) | {"spec": {"podSelector": {}}}

    made = [await client.apply(having(emptiest, name=name), "me", force=True) for name in ("a", "b")]

    assert [each["spec"]["policyTypes"] for each in made] == [["Ingress"], ["Ingress"]]


async def test_what_a_caller_does_to_an_answer_or_its_body_stays_with_the_caller(client: Client) -> None:
    body = there(config_map())
    created = await client.create(body, "me")

    body["data"]["key"] = created["data"]["key"] = "changed"

    assert (await client.get(resources.CONFIG_MAP, NAMESPACE, "a"))["data"] == {"key": "1"}


async def test_the_front_serves_any_client_over_http(server: ApiServer) -> None:
    async with served(server) as url, Client.for_server(url) as client:
        created = await client.create(there(config_map()), "me")
        version = int(created["metadata"]["resourceVersion"]) - 1
        (event,) = await read(client, 1, resource_version=str(version))
        discovered = await client.transport.request("GET", "/apis/sluicegate.dev/v1alpha1", {}, None, "")
        with pytest.raises(errors.NotFound):
            await client.get(resources.CONFIG_MAP, NAMESPACE, "b")

    assert event.object == created
    assert [each["name"] for each in json.loads(discovered.body)["resources"]] == [
        "llmdeployments",
        "llmdeployments/status",
        "llmdeployments/scale",
    ]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("2048Mi", "2Gi"),
        ("1000", "1k"),
        (1, "1"),
        ("1.5Gi", "1536Mi"),
    ],
)
def test_quantities_are_written_as_the_server_writes_them(given: str, want: str) -> None:
    assert canonical(given) == want
