"""The caches and the memory of our own writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.shell.kit import NAMESPACE, a_child, a_key, with_meta

from sluicegate.core.objects import Manifest, controller_uid
from sluicegate.shell.store import Cache, OwnWrites

pytestmark = pytest.mark.looptime(noop_cycles=1)


def at(version: int, name: str = "a", uid: str = "u1", **rest: Any) -> dict[str, Any]:
    return with_meta(a_child(name=name, **rest), uid=uid, resourceVersion=str(version))


def a_cache(*held: Manifest) -> Cache:
    cache = Cache(controller_uid, lambda old, new: None)
    for obj in held:
        cache.put(obj)
    return cache


def versions(cache: Cache) -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in cache.everything()}


def test_an_older_state_never_replaces_a_newer_one_of_the_same_name() -> None:
    cache = a_cache(at(5), at(4), at(3, uid="u0"))
    assert versions(cache) == {"a": "5"}
    cache.drop(at(4, uid="u0"))
    assert versions(cache) == {"a": "5"}


def test_a_list_takes_out_what_it_lacks_and_brings_what_it_has() -> None:
    cache = a_cache(at(5), at(6, name="b"))
    cache.replace([at(7), at(3, name="c")], 8, within=lambda obj: True)
    assert versions(cache) == {"a": "7", "c": "3"}


def test_what_is_newer_than_a_list_stays() -> None:
    cache = a_cache(at(12), at(13, name="b"))
    cache.replace([at(9)], 10, within=lambda obj: True)
    assert versions(cache) == {"a": "12", "b": "13"}


def test_a_list_of_one_scope_leaves_the_others_alone() -> None:
    cache = a_cache(at(1, name="a"), at(1, name="b"))
    cache.replace([], 1, within=lambda obj: obj["metadata"]["name"] == "a")
    assert versions(cache) == {"b": "1"}


def test_objects_are_found_by_their_controlling_owner_and_move_with_it() -> None:
    cache = a_cache(at(1, name="b"), at(1, name="a"), at(1, name="c", owner="other"))
    assert [each["metadata"]["name"] for each in cache.group("uid-of-chat")] == ["a", "b"]
    cache.put(at(2, name="a", owner="other"))
    assert [each["metadata"]["name"] for each in cache.group("uid-of-chat")] == ["b"]
    assert [each["metadata"]["name"] for each in cache.group("uid-of-other")] == ["a", "c"]
    cache.drop(at(3, name="b"))
    assert cache.group("uid-of-chat") == ()


def test_everything_is_the_same_tuple_until_something_changes() -> None:
    cache = a_cache(at(1))
    first = cache.everything()
    assert cache.everything() is first
    cache.put(at(2))
    assert cache.everything() is not first


class Behind:
    """Own writes of ConfigMaps beside a cache whose informer has seen `version`."""

    def __init__(self, *held: Manifest) -> None:
        self.version = 10
        self.cache = a_cache(*held)
        self.writes = OwnWrites({"ConfigMap": self.cache}, lambda kind, namespace: self.version)


async def test_a_write_is_unseen_until_the_informer_has_passed_its_version() -> None:
    behind = Behind()
    behind.writes.wrote(a_key(), at(11))
    await asyncio.sleep(2)
    assert behind.writes.unseen(a_key()) == {"ConfigMap": 2}
    behind.version = 11
    assert behind.writes.unseen(a_key()) == {}
    behind.version = 10
    assert behind.writes.unseen(a_key()) == {}, "what was seen once is not asked for again"


async def test_a_write_is_unseen_while_an_older_state_is_held_whatever_the_informer_was_told() -> None:
    behind = Behind(at(9))
    behind.writes.wrote(a_key(), at(11))
    behind.version = 12
    assert behind.writes.unseen(a_key()) == {"ConfigMap": 0}
    behind.cache.put(at(11))
    assert behind.writes.unseen(a_key()) == {}


async def test_what_was_there_already_is_unseen_until_it_is_held_whatever_the_informer_was_told() -> None:
    behind = Behind()
    behind.version = 12
    behind.writes.missed(a_key(), at(11))
    assert behind.writes.unseen(a_key()) == {"ConfigMap": 0}
    behind.cache.put(at(11))
    assert behind.writes.unseen(a_key()) == {}


async def test_the_newest_of_several_writes_counts_and_waiting_is_measured_from_the_first() -> None:
    behind = Behind()
    behind.writes.wrote(a_key(), at(12))
    await asyncio.sleep(1)
    behind.writes.wrote(a_key(), at(11))
    behind.version = 11
    assert behind.writes.unseen(a_key()) == {"ConfigMap": 1}


async def test_a_write_that_changed_nothing_is_seen_already() -> None:
    behind = Behind()
    behind.writes.wrote(a_key(), at(7))
    assert behind.writes.unseen(a_key()) == {}


@pytest.mark.parametrize(
    ("left", "is_unseen"),
    [
        (at(5), True),
        (with_meta(at(12), deletionTimestamp="2026-01-01T00:00:00Z"), False),
        (at(12, uid="u2"), False),
        (None, False),
    ],
    ids=["still there", "terminating", "another of its name", "gone"],
)
async def test_a_deletion_is_unseen_while_the_object_lives_on_in_the_cache(
    left: Manifest | None, is_unseen: bool
) -> None:
    behind = Behind(*([left] if left else []))
    behind.writes.deleted(a_key(), "ConfigMap", (NAMESPACE, "a"), "u1")
    assert bool(behind.writes.unseen(a_key())) is is_unseen


async def test_keys_do_not_wait_for_each_others_writes_nor_for_kinds_without_a_cache() -> None:
    behind = Behind()
    behind.writes.wrote(a_key("other"), at(11))
    behind.writes.wrote(a_key(), {**at(11), "kind": "LLMDeployment"})
    assert behind.writes.unseen(a_key()) == {}


async def test_a_forgotten_key_expects_nothing() -> None:
    behind = Behind()
    behind.writes.wrote(a_key(), at(11))
    behind.writes.forget(a_key())
    assert behind.writes.unseen(a_key()) == {}
