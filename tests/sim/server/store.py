"""The fake API server's storage: objects, one log of all their changes, and who waits for more of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Kind (`apps/v1/replicasets`), namespace, name."""


BEGINNING = 100
"""The version at which history begins: a client that comes with an older one is told Gone."""


@dataclass(frozen=True)
class Change:
    """One entry of the log. `old` is None for a creation; for a deletion `new` is the last state."""

    version: int
    key: Key
    type: str
    old: Object | None
    new: Object


class Store:
    """Versions are integers, one a change. Stored objects are never changed in place.

    Like etcd below the real server it holds what was written; `decode` fills in what every reader of an
    object of that key sees besides.
    """

    def __init__(self, decode: Callable[[Key, Object], Object]) -> None:
        self._decode = decode
        self.version = self.compacted = BEGINNING
        self.log: list[Change] = []
        self._objects: dict[Key, Object] = {}
        self._news = asyncio.Event()

    def get(self, key: Key) -> Object | None:
        found = self._objects.get(key)
        return self._decode(key, copied(found)) if found is not None else None

    def holds(self, key: Key, obj: Object) -> bool:
        """Whether this very object is what was written last, its version included."""
        return self._objects.get(key) == obj

    def every_key(self) -> list[Key]:
        return sorted(self._objects)

    def metadata(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """The metadata of every object, to be looked at only."""
        yield from ((key, self._objects[key]["metadata"]) for key in self.every_key())

    def put(self, key: Key, obj: Object) -> Object:
        """Store the object under the next version and answer it so."""
        old = self._objects.get(key)
        return self._record(key, "ADDED" if old is None else "MODIFIED", old, obj)

    def delete(self, key: Key) -> Object:
        """Remove the object and answer its last state."""
        old = self._objects[key]
        return self._record(key, "DELETED", old, old)

    def at(self, kind: str, namespace: str, version: int) -> list[Object]:
        """The objects of a kind ("" for all namespaces) as they were at a version, by namespace and name."""
        then = dict(self._objects)
        for change in reversed(self.log):
            if change.version <= version:
                break
            then.pop(change.key, None)
            if change.old is not None:
                then[change.key] = change.old
        return [
            self._decode(key, copied(then[key]))
            for key in sorted(then)
            if key[0] == kind and namespace in ("", key[1])
        ]

    def since(self, version: int) -> Iterator[Change]:
        first = next(
            (index for index, change in enumerate(self.log) if change.version > version), len(self.log)
        )
        yield from self.log[first:]

    def compact(self, version: int | None = None) -> None:
        """Forget the changes up to a version (all of them without one): to go on from before it is Gone."""
        self.compacted = self.version if version is None else version
        self.log = [change for change in self.log if change.version > self.compacted]

    async def news(self, seconds: float) -> None:
        """Wait for the next change, or until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _record(self, key: Key, kind: str, old: Object | None, new: Object) -> Object:
        self.version += 1
        new = copied(new)
        new["metadata"]["resourceVersion"] = str(self.version)
        if kind == "DELETED":
            del self._objects[key]
        else:
            self._objects[key] = new
        self.log.append(Change(self.version, key, kind, self._seen(key, old), self._decode(key, copied(new))))
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()
        return self._decode(key, copied(new))

    def _seen(self, key: Key, obj: Object | None) -> Object | None:
        return None if obj is None else self._decode(key, copied(obj))


def copied(value: Any) -> Any:
    """The same JSON value, none of it shared. `copy.deepcopy` takes four times as long."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
