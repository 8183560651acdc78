"""A server forked from another, and the ways past requests: to look, to listen, to write by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

import looptime
import pytest
from tests.contract.objects import config_map, having, pod
from tests.contract.run import crd
from tests.sim.apiserver import EPOCH, ApiServer
from tests.sim.server.refusals import RefusedError

from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists
from sluicegate.kube.resources import CONFIG_MAP, NODE, POD

NAMESPACE = "default"


def there(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return having(config_map(name), namespace=NAMESPACE, **metadata)


def names(server: ApiServer) -> list[str]:
    return [obj["metadata"]["name"] for obj in server.peek(CONFIG_MAP)]


def run(start: float, work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=start)) as runner:
        return runner.run(work)


# --- forks ------------------------------------------------------------------------------------------


async def test_a_fork_and_its_origin_go_their_own_ways() -> None:
    origin = ApiServer()
    await Client(origin).create(there("shared"), "me")

    fork = origin.fork()
    for server, name in ((origin, "a"), (fork, "b")):
        await Client(server).create(there(name), "me")
        await Client(server).patch_merge(CONFIG_MAP, NAMESPACE, "shared", {"data": {"of": name}}, "me")

    assert (names(origin), names(fork)) == (["a", "shared"], ["b", "shared"])
    shared = [server.find(CONFIG_MAP, NAMESPACE, "shared") for server in (origin, fork)]
    assert [obj["data"]["of"] for obj in shared if obj] == ["a", "b"]


async def test_a_fork_does_to_the_same_requests_what_its_origin_does() -> None:
    async def go_on(server: ApiServer) -> str:
        client = Client(server)
        generated = {**config_map(), "metadata": {"generateName": "x-", "namespace": NAMESPACE}}
        await client.create(generated, "me")
        await client.apply(there("first", labels={"a": "b"}), "me", force=True)
        await client.delete(CONFIG_MAP, NAMESPACE, "first")
        return json.dumps([[change.version, change.type, change.new] for change in server.store.log])

    origin = ApiServer(now=lambda: EPOCH, gc_seconds=None)
    await Client(origin).create(there("first"), "me")
    fork = origin.fork()

    assert await go_on(origin) == await go_on(fork)


def test_a_fork_lives_in_another_loop_whose_clock_goes_on() -> None:
    origin = ApiServer()

    async def before() -> float:
        client = Client(origin)
        waiting = asyncio.create_task(origin.store.news(1000))
        await asyncio.sleep(100)
        await client.create(there("parent"), "me")
        parent = (await client.get(CONFIG_MAP, NAMESPACE, "parent"))["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": parent["uid"]}
        await client.create(there("child", ownerReferences=[reference]), "me")
        await client.delete(CONFIG_MAP, NAMESPACE, "parent")
        await waiting
        return asyncio.get_running_loop().time()

    async def after(server: ApiServer) -> str:
        created = await Client(server).create(there("late"), "me")
        await asyncio.sleep(0.1)
        return str(created["metadata"]["creationTimestamp"])

    stood = run(0, before())
    fork = origin.fork()

    assert run(stood, after(fork)) == "2026-01-01T00:01:40Z"
    assert names(fork) == ["late"], "the collection that was due in the origin is made up for"


async def test_a_fork_of_many_objects_costs_less_than_a_millisecond() -> None:
    server = ApiServer([crd()])
    hand = server.hand("me")
    for number in range(200):
        hand.create(there(f"c{number}"))

    def seconds() -> float:
        started = perf_counter()
        server.fork()
        return perf_counter() - started

    assert min(seconds() for _ in range(20)) < 0.001


# --- past requests ----------------------------------------------------------------------------------


async def test_a_hand_writes_as_requests_do() -> None:
    server = ApiServer()
    client, hand = Client(server), server.hand("me")

    await client.create(there("asked"), "me")
    hand.create(there("by-hand"))
    await client.patch_merge(CONFIG_MAP, NAMESPACE, "asked", {"data": {"key": "2"}}, "me")
    hand.patch(CONFIG_MAP, NAMESPACE, "by-hand", {"data": {"key": "2"}})

    asked, by_hand = [await client.get(CONFIG_MAP, NAMESPACE, name) for name in ("asked", "by-hand")]
    assert by_hand["data"] == asked["data"]
    assert [each["fieldsV1"] for each in by_hand["metadata"]["managedFields"]] == [
        each["fieldsV1"] for each in asked["metadata"]["managedFields"]
    ]


async def test_a_hand_is_refused_as_requests_are() -> None:
    server = ApiServer()
    hand = server.hand("me")
    hand.create(there())

    with pytest.raises(AlreadyExists) as asked:
        await Client(server).create(there(), "me")
    with pytest.raises(RefusedError) as by_hand:
        hand.create(there())

    assert by_hand.value.status["message"] == asked.value.message


@pytest.mark.looptime
async def test_garbage_is_collected_after_a_hand_too() -> None:
    server = ApiServer()
    hand = server.hand("me")
    parent = hand.create(there("parent"))["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": parent["uid"]}
    hand.create(there("child", ownerReferences=[reference]))

    gone = hand.delete(CONFIG_MAP, NAMESPACE, "parent")
    await asyncio.sleep(0.1)

    assert (gone, names(server)) == (None, [])


async def test_a_hand_writes_status_and_ends_a_pod_as_its_kubelet_does() -> None:
    server = ApiServer()
    hand = server.hand("kubelet")
    hand.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    hand.create(having(pod(nodeName="n1"), namespace=NAMESPACE))

    hand.patch(POD, NAMESPACE, "p", {"status": {"phase": "Running"}}, subresource="status")
    left = hand.delete(POD, NAMESPACE, "p")
    running = server.find(POD, NAMESPACE, "p")
    hand.delete(POD, NAMESPACE, "p", grace_seconds=0)

    assert left is not None
    assert left["metadata"]["deletionTimestamp"]
    assert running is not None
    assert running["status"]["phase"] == "Running"
    assert list(server.peek(POD)) == []
    assert [node["metadata"]["name"] for node in server.peek(NODE)] == ["n1"]


async def test_listeners_are_told_of_each_change_as_it_happens_and_not_of_a_forks() -> None:
    server = ApiServer()
    heard: list[tuple[str, str]] = []
    hand = server.hand("me")
    hand.create(there("before"))

    server.store.listeners.append(lambda change: heard.append((change.type, change.new["metadata"]["name"])))
    hand.create(there())
    hand.patch(CONFIG_MAP, NAMESPACE, "a", {"data": {"key": "2"}})
    server.fork().hand("me").delete(CONFIG_MAP, NAMESPACE, "a")
    hand.delete(CONFIG_MAP, NAMESPACE, "before")

    assert heard == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "before")]


async def test_an_earlier_answer_is_that_of_before_the_last_changes_of_what_is_asked_for() -> None:
    server = ApiServer()
    hand = server.hand("me")
    first = hand.create(there())
    hand.patch(CONFIG_MAP, NAMESPACE, "a", {"data": {"key": "2"}})
    hand.create(there("b"))
    one, all_of_them = CONFIG_MAP.path(NAMESPACE, "a"), CONFIG_MAP.path(NAMESPACE)

    def earlier(method: str, path: str, changes: int = 1) -> tuple[int, Any] | None:
        answer = server.earlier(method, path, {}, changes)
        return None if answer is None else (answer.status, json.loads(answer.body))

    def items(changes: int) -> list[str]:
        answer = earlier("GET", all_of_them, changes)
        return [each["metadata"]["name"] for each in answer[1]["items"]] if answer else ["none"]

    assert earlier("GET", one) == earlier("PATCH", one) == (200, first)
    assert (earlier("GET", one, 2) or (0, {}))[0] == 404
    assert [earlier("PATCH", one, 2), earlier("POST", all_of_them), earlier("GET", one, 3)] == [None] * 3
    assert [items(changes) for changes in (1, 2, 3, 4)] == [["a"], ["a"], [], ["none"]]


@pytest.mark.looptime
async def test_news_of_a_kind_is_not_that_of_another() -> None:
    server = ApiServer()
    hand = server.hand("me")
    hand.create(there())
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(server.store.news(60, "v1/configmaps"))
    await asyncio.sleep(1)

    hand.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    await asyncio.sleep(1)
    told_of_a_node = waiting.done()
    hand.create(there("b"))
    version = await waiting

    assert (told_of_a_node, version) == (False, server.store.version - 1)
    assert loop.time() == pytest.approx(2)
