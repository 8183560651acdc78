"""The fake API server's storage: objects, one log of all their changes, and who waits for more of it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import orjson
from tests.sim.server.apply import Managers, managers_of

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Kind (`apps/v1/replicasets`), namespace, name."""


BEGINNING = 100
"""The version at which history begins: a client that comes with an older one is told Gone."""


class Stored(Object):
    """One version of an object as every reader sees it; neither it nor any part of it is ever changed.

    `written` is what storage holds of it: what readers see besides is filled in when it is read.
    """

    written: Object

    @cached_property
    def managers(self) -> Managers:
        return managers_of(self)

    @cached_property
    def encoded(self) -> bytes:
        return orjson.dumps(self)


@dataclass(frozen=True)
class Change:
    """One entry of the log. `old` is None for a creation; for a deletion `new` is the last state."""

    version: int
    key: Key
    type: str
    old: Stored | None
    new: Stored


class Store:
    """Versions are integers, one a change. What goes in and comes out is shared: it may be looked at only.

    Like etcd below the real server it holds what was written; `decode` answers what every reader of an
    object of that key sees. `listeners` are told of each change as it happens.
    """

    def __init__(self, decode: Callable[[Key, Object], Object]) -> None:
        self._decode = decode
        self.version = self.compacted = BEGINNING
        self.log: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: defaultdict[str, dict[Key, Stored]] = defaultdict(dict)
        self._order: dict[str, list[Key]] = {}
        self._uids: dict[str, Key] = {}
        self._waiting: defaultdict[str, list[asyncio.Future[int]]] = defaultdict(list)

    def fork(self) -> Store:
        """Another store that goes on from this one's objects and history; nobody listens to it or waits."""
        other = Store(self._decode)
        other.version, other.compacted, other.log = self.version, self.compacted, list(self.log)
        other._objects.update((kind, dict(objects)) for kind, objects in self._objects.items())
        other._uids = dict(self._uids)
        return other

    def get(self, key: Key) -> Stored | None:
        return self._objects[key[0]].get(key)

    def holds(self, key: Key, obj: Object) -> bool:
        """Whether this very object is what was written last, its version included."""
        found = self.get(key)
        return found is not None and found.written == obj

    def peek(self, kind: str) -> Iterator[tuple[Key, Stored]]:
        """The objects of a kind, by namespace and name."""
        objects = self._objects[kind]
        if kind not in self._order:
            self._order[kind] = sorted(objects)
        return ((key, objects[key]) for key in self._order[kind])

    def every(self) -> Iterator[tuple[Key, Stored]]:
        """All that is there when it is asked for, by kind, namespace and name."""
        found = [entry for kind in sorted(self._objects) for entry in self.peek(kind)]
        return iter(found)

    def key_of(self, uid: str) -> Key | None:
        return self._uids.get(uid)

    def put(self, key: Key, obj: Object) -> Stored:
        """Store the object under the next version and answer it so."""
        old = self.get(key)
        new = self._record(key, "ADDED" if old is None else "MODIFIED", old, obj)
        self._objects[key[0]][key] = new
        if old is None:
            self._order.pop(key[0], None)
        self._uids[new["metadata"]["uid"]] = key
        self._tell()
        return new

    def delete(self, key: Key) -> Stored:
        """Remove the object and answer its last state."""
        old = self._objects[key[0]].pop(key)
        self._order.pop(key[0], None)
        del self._uids[old["metadata"]["uid"]]
        new = self._record(key, "DELETED", old, old.written)
        self._tell()
        return new

    def at(self, kind: str, namespace: str, version: int) -> list[Stored]:
        """The objects of a kind ("" for all namespaces) as they were at a version, by namespace and name."""
        then = self._objects[kind]
        if version < self.version:
            then = dict(then)
            for change in reversed(self.log[self._index(version) :]):
                if change.key[0] != kind:
                    continue
                then.pop(change.key, None)
                if change.old is not None:
                    then[change.key] = change.old
        return [then[key] for key in sorted(then) if namespace in ("", key[1])]

    def since(self, version: int) -> list[Change]:
        return self.log[self._index(version) :]

    def changes_of(self, key: Key) -> list[int]:
        """The versions at which an object changed, or any of a kind ("" for all namespaces and names)."""
        kind, namespace, name = key
        return [
            change.version
            for change in self.log
            if change.key[0] == kind and namespace in ("", change.key[1]) and name in ("", change.key[2])
        ]

    def compact(self, version: int | None = None) -> None:
        """Forget the changes up to a version (all of them without one): to go on from before it is Gone."""
        self.compacted = self.version if version is None else version
        self.log = self.log[self._index(self.compacted) :]

    async def news(self, seconds: float, kind: str = "") -> int:
        """Wait for the next change (of a kind, if one is named), or until the time is over.

        Answers the version up to which there was none.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[int] = loop.create_future()
        waiting = self._waiting[kind]
        waiting.append(waiter)
        timer = loop.call_later(seconds, self._answer, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            if waiter in waiting:
                waiting.remove(waiter)

    def interrupt(self, error: Exception) -> None:
        """End every wait for news of one kind: the watches break."""
        for kind, waiting in self._waiting.items():
            for waiter in waiting if kind else ():
                if not waiter.done():
                    waiter.set_exception(error)

    def _answer(self, waiter: asyncio.Future[int]) -> None:
        if not waiter.done():
            waiter.set_result(self.version)

    def _index(self, version: int) -> int:
        """Where in the log what came after a version begins."""
        return bisect_right(self.log, version, key=attrgetter("version"))

    def _record(self, key: Key, kind: str, old: Stored | None, obj: Object) -> Stored:
        self.version += 1
        written = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        new = Stored(self._decode(key, written))
        new.written = written
        self.log.append(Change(self.version, key, kind, old, new))
        return new

    def _tell(self) -> None:
        change = self.log[-1]
        for kind in (change.key[0], ""):
            for waiter in self._waiting.pop(kind, ()):
                if not waiter.done():
                    waiter.set_result(change.version - 1)
        for listener in self.listeners:
            listener(change)


def copied(value: Any) -> Any:
    """The same JSON value, none of it shared. `copy.deepcopy` takes four times as long."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
