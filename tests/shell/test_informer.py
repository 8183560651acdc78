"""An informer beside the fake API server: its cache equals the truth again after every kind of gap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from tests.shell.kit import NAMESPACE, CountingMeter, a_child, now, running, until
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer

from sluicegate.core.objects import Manifest, controller_uid
from sluicegate.kube.client import Client
from sluicegate.kube.resources import CONFIG_MAP, NODE
from sluicegate.kube.transport import Response
from sluicegate.shell.informer import LONGEST_DELAY_SECONDS, RELIST_SECONDS, Informer
from sluicegate.shell.store import Cache
from sluicegate.shell.trim import trim

pytestmark = pytest.mark.looptime(noop_cycles=1)


class World:
    """An API server, a wire to it, and an informer of ConfigMaps at the end of the wire."""

    def __init__(self) -> None:
        self.server = ApiServer(gc_seconds=None)
        self.wire = Wire(self.server)
        self.truth = Client(self.server)
        self.meter = CountingMeter()
        self.changes: list[tuple[str | None, str | None]] = []
        self.cache = Cache(controller_uid, self._changed)
        self.informer = Informer(
            Client(self.wire),
            CONFIG_MAP,
            "",
            "app.kubernetes.io/managed-by=sluicegate",
            self.cache,
            trim,
            self.meter,
            random.Random(0),
        )

    def _changed(self, old: Manifest | None, new: Manifest | None) -> None:
        self.changes.append((old and old["data"].get("value"), new and new["data"].get("value")))

    async def create(self, name: str, value: str = "1") -> None:
        await self.truth.create(a_child(name=name, data={"value": value}), "sluicegate")

    async def change(self, name: str, value: str) -> None:
        await self.truth.patch_merge(CONFIG_MAP, NAMESPACE, name, {"data": {"value": value}}, "sluicegate")

    async def delete(self, name: str) -> None:
        await self.truth.delete(CONFIG_MAP, NAMESPACE, name)

    def held(self) -> dict[str, str]:
        return {each["metadata"]["name"]: each["data"]["value"] for each in self.cache.everything()}


@asynccontextmanager
async def a_world(*names: str) -> AsyncIterator[World]:
    world = World()
    for name in names:
        await world.create(name)
    async with running(world.informer.run()):
        await until(lambda: world.wire.count("WATCH", "configmaps"))
        await asyncio.sleep(1)
        yield world


async def test_it_lists_and_then_follows_every_change() -> None:
    async with a_world("a") as world:
        assert world.held() == {"a": "1"}
        await world.create("b")
        await world.change("a", "2")
        await world.delete("b")
        await until(lambda: world.held() == {"a": "2"})
        assert world.changes == [(None, "1"), (None, "1"), ("1", "2"), ("1", None)]


async def test_its_version_says_what_the_cache_includes() -> None:
    async with a_world("a") as world:
        await world.create("b")
        await until(lambda: "b" in world.held())
        held = world.cache.get(NAMESPACE, "b")
        assert held is not None
        assert world.informer.version == int(held["metadata"]["resourceVersion"])


async def test_objects_that_others_manage_are_not_seen() -> None:
    async with a_world() as world:
        stranger = a_child(name="stranger", data={})
        del stranger["metadata"]["labels"]
        await world.truth.create(stranger, "kubectl")
        await asyncio.sleep(100)
        assert world.held() == {}


async def test_deletions_and_creations_inside_a_gap_are_noticed_by_the_next_list() -> None:
    async with a_world("stays", "goes", "changes") as world:
        world.wire.refuse = lambda method, path: Response(503, b"down")
        await _break_the_stream(world)
        await world.delete("goes")
        await world.change("changes", "2")
        await world.create("comes")
        world.server.store.compact()
        world.changes.clear()
        world.wire.refuse = lambda method, path: None
        truth = {"stays": "1", "changes": "2", "comes": "1"}
        assert await until(lambda: world.held() == truth) <= LONGEST_DELAY_SECONDS
        assert sorted(world.changes, key=str) == [("1", "2"), ("1", None), (None, "1")]
        assert world.meter.counts["restarted", "ConfigMap", "Expired"] == 1


async def test_a_silent_stream_is_left_after_75_seconds_and_nothing_is_missed() -> None:
    async with a_world("a") as world:
        world.wire.delay = lambda path: 100_000
        await world.change("a", "2")
        await asyncio.sleep(1)
        world.wire.delay = lambda path: 0
        assert await until(lambda: world.held() == {"a": "2"}) <= 75
        assert world.meter.counts == {("restarted", "ConfigMap", "WatchStalled"): 1}


async def test_a_stream_that_breaks_in_the_middle_of_a_line_is_taken_up_again_without_a_list() -> None:
    async with a_world("a") as world:
        lists = world.wire.count("GET", "configmaps")
        world.wire.cut = lambda piece: piece[: len(piece) // 2]
        await world.change("a", "2")
        await asyncio.sleep(0)
        await until(lambda: world.meter.counts["restarted", "ConfigMap", "ConnectionLost"] > 0)
        world.wire.cut = lambda piece: piece
        await until(lambda: world.held() == {"a": "2"})
        assert world.wire.count("GET", "configmaps") == lists


async def test_bookmarks_keep_an_idle_watch_alive_and_young_enough_to_go_on() -> None:
    async with a_world("a") as world:
        for number in range(60):
            await asyncio.sleep(60)
            await world.truth.create(a_child(kind="Secret", name=f"s{number}"), "sluicegate")
            world.server.store.compact(world.server.store.version - 5)
        assert world.meter.counts["restarted", "ConfigMap", "Expired"] == 0
        assert 5 <= world.wire.count("GET", "configmaps") <= 7
        assert 11 <= world.wire.count("WATCH", "configmaps") <= 24
        assert now() - (world.informer.heard_at or 0) <= 60


async def test_an_outage_is_waited_out_with_delays_that_grow_to_their_bound() -> None:
    world = World()
    world.wire.refuse = lambda method, path: Response(500, b"down")
    async with running(world.informer.run()):
        await asyncio.sleep(3600)
        times = [each.at for each in world.wire.sent]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert 0.5 <= gaps[0] <= 1
        assert max(gaps) <= LONGEST_DELAY_SECONDS
        assert min(gaps[6:]) >= LONGEST_DELAY_SECONDS / 2
        assert not world.informer.synced.is_set()
        world.wire.refuse = lambda method, path: None
        await until(world.informer.synced.is_set, LONGEST_DELAY_SECONDS)


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered() -> None:
    async with a_world("a") as world:
        world.wire.refuse = lambda method, path: Response(200, b"") if method == "WATCH" else None
        await _break_the_stream(world)
        before = len(world.wire.sent)
        await asyncio.sleep(600)
        assert len(world.wire.sent) - before <= 60


async def test_a_watch_that_is_always_too_old_lists_no_faster_than_the_back_off() -> None:
    async with a_world("a") as world:
        gone = b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}'
        world.wire.refuse = lambda method, path: Response(410, gone) if method == "WATCH" else None
        await _break_the_stream(world)
        before = world.wire.count("GET", "configmaps")
        await asyncio.sleep(600)
        assert world.wire.count("GET", "configmaps") - before <= 60


async def test_only_a_resource_version_that_moved_is_no_change() -> None:
    async with a_world("a") as world:
        world.changes.clear()
        await world.truth.patch_merge(
            CONFIG_MAP, NAMESPACE, "a", {"metadata": {"annotations": {"theirs": "x"}}}, "kubectl"
        )
        held = world.cache.get(NAMESPACE, "a")
        await until(lambda: world.cache.get(NAMESPACE, "a") is not held)
        assert world.changes == []


async def test_only_what_a_node_has_room_for_makes_it_change() -> None:
    server, changes = ApiServer(), list[object]()
    client = Client(server)
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "gpu-1"},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}},
    }
    await client.create(node, "kubelet")
    cache = Cache(controller_uid, lambda old, new: changes.append(new))
    informer = Informer(client, NODE, "", "", cache, trim, CountingMeter(), random.Random(0))
    async with running(informer.run()):
        await informer.synced.wait()
        await asyncio.sleep(1)
        for status in ("True", "False"):
            ready = [{"type": "Ready", "status": status, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]
            beat = {"status": {"conditions": ready}}
            await client.patch_merge(NODE, "", "gpu-1", beat, "kubelet", subresource="status")
        await client.patch_merge(NODE, "", "gpu-1", {"metadata": {"labels": {"a": "b"}}}, "kubectl")
        await asyncio.sleep(1)
        assert len(changes) == 1
        room = {"status": {"allocatable": {"nvidia.com/gpu": "7"}}}
        await client.patch_merge(NODE, "", "gpu-1", room, "kubelet", subresource="status")
        await asyncio.sleep(1)
        assert len(changes) == 2


async def test_an_event_that_never_comes_is_made_up_for_by_the_next_list() -> None:
    async with a_world("kept", "lost") as world:
        world.wire.lose = lambda piece: b"DELETED" in piece or b"MODIFIED" in piece
        await world.delete("lost")
        await world.change("kept", "2")
        await asyncio.sleep(RELIST_SECONDS / 2)
        assert world.held() == {"kept": "1", "lost": "1"}
        await asyncio.sleep(RELIST_SECONDS)
        assert world.held() == {"kept": "2"}


async def _break_the_stream(world: World) -> None:
    """End the watch that is open: a change comes over it that is cut short."""
    world.wire.cut = lambda piece: piece[:-1]
    restarts = world.meter.counts.total()
    await world.truth.create(a_child(name="last", data={"value": "x"}), "sluicegate")
    await world.delete("last")
    await until(lambda: world.meter.counts.total() > restarts)
    world.wire.cut = lambda piece: piece
