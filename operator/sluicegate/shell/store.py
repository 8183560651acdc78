"""What the informers have seen of the owned kinds, and whether that includes what we wrote ourselves.

A decision taken on a cache that misses our own last write would write it again: a second ReplicaSet, a
second set of GPUs. So each write is remembered with its resourceVersion until the cache has passed it.
resourceVersions of one API server are compared as integers, as its own watch cache does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sluicegate.core import objects
from sluicegate.core.objects import Manifest
from sluicegate.shell.keys import Key

Name = tuple[str, str]
Changed = Callable[[Manifest | None, Manifest | None], None]


def name_of(obj: Manifest) -> Name:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def version_of(obj: Manifest) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


class Cache:
    """The trimmed objects of one kind, by name and by group.

    `group_of(obj)` is what `group` finds objects by, the uid of the controlling owner for most kinds.
    `changed(old, new)` is told of every difference but a resourceVersion's alone; None stands for absence.
    """

    def __init__(self, group_of: Callable[[Manifest], str | None], changed: Changed) -> None:
        self._group_of = group_of
        self._changed = changed
        self._objects: dict[Name, Manifest] = {}
        self._groups: dict[str, dict[Name, Manifest]] = {}
        self._everything: tuple[Manifest, ...] | None = None

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Manifest | None:
        return self._objects.get((namespace, name))

    def group(self, group: str) -> tuple[Manifest, ...]:
        """The objects of one group, by name."""
        members = self._groups.get(group, {})
        return tuple(members[name] for name in sorted(members))

    def everything(self) -> tuple[Manifest, ...]:
        """Every object, by name; the same tuple until something changes."""
        if self._everything is None:
            self._everything = tuple(self._objects[name] for name in sorted(self._objects))
        return self._everything

    def put(self, obj: Manifest) -> None:
        """Take over an object unless a newer state of it is held."""
        held = self._objects.get(name_of(obj))
        if held is None or version_of(held) <= version_of(obj):
            self._exchange(name_of(obj), held, obj)

    def drop(self, obj: Manifest) -> None:
        """Forget an object, given its last state, unless a newer one of its name is held."""
        held = self._objects.get(name_of(obj))
        if held is not None and version_of(held) <= version_of(obj):
            self._exchange(name_of(obj), held, None)

    def replace(self, listed: Iterable[Manifest], version: int, within: Callable[[Manifest], bool]) -> None:
        """Make what is held `within` a scope equal to what a consistent LIST of it answered at a version.

        What is held in a newer state came while the answer was under way, and stays.
        """
        present = {name_of(obj): obj for obj in listed}
        vanished = [obj for name, obj in self._objects.items() if within(obj) and name not in present]
        for obj in vanished:
            if version_of(obj) <= version:
                self._exchange(name_of(obj), obj, None)
        for obj in present.values():
            self.put(obj)

    def _exchange(self, name: Name, old: Manifest | None, new: Manifest | None) -> None:
        self._everything = None
        if old is not None:
            self._leave(name, old)
        if new is not None:
            self._objects[name] = new
            group = self._group_of(new)
            if group is not None:
                self._groups.setdefault(group, {})[name] = new
        if _content(old) != _content(new):
            self._changed(old, new)

    def _leave(self, name: Name, old: Manifest) -> None:
        del self._objects[name]
        group = self._group_of(old)
        if group is None:
            return
        members = self._groups[group]
        members.pop(name)
        if not members:
            del self._groups[group]


def _content(obj: Manifest | None) -> Mapping[str, object] | None:
    """The object without its resourceVersion, which alone is no change worth a look."""
    if obj is None:
        return None
    metadata = {field: value for field, value in obj["metadata"].items() if field != "resourceVersion"}
    return {**obj, "metadata": metadata}


@dataclass
class _Expected:
    """What a cache has to have seen: writes of objects, by version, ends of objects, by uid, and what it has
    to hold, whatever it was told."""

    since: float
    written: dict[Name, int] = field(default_factory=dict)
    deleted: dict[Name, str] = field(default_factory=dict)
    missed: set[Name] = field(default_factory=set)


class OwnWrites:
    """Our writes that the caches may not have seen yet, by key and kind.

    `seen_version(kind, namespace)` is the newest resourceVersion that the kind's informer was told of.
    """

    def __init__(self, caches: Mapping[str, Cache], seen_version: Callable[[str, str], int]) -> None:
        self._caches = caches
        self._seen_version = seen_version
        self._expected: dict[Key, dict[str, _Expected]] = {}

    def wrote(self, key: Key, obj: Manifest) -> None:
        """Remember the answer to a create, an apply or a replace of a child of the key."""
        if obj["kind"] in self._caches:
            written = self._of(key, obj["kind"]).written
            written[name_of(obj)] = max(written.get(name_of(obj), 0), version_of(obj))

    def deleted(self, key: Key, kind: str, name: Name, uid: str) -> None:
        if kind in self._caches:
            self._of(key, kind).deleted[name] = uid

    def missed(self, key: Key, obj: Manifest) -> None:
        """Remember a child of the key that was there already when it was to be created.

        Where its watch lost that line, later ones say nothing of it.
        """
        if obj["kind"] in self._caches:
            self._of(key, obj["kind"]).missed.add(name_of(obj))

    def unseen(self, key: Key) -> dict[str, float]:
        """The kinds whose cache is behind our writes, each with the seconds since the first such write."""
        kinds = self._expected.get(key, {})
        for kind in [kind for kind, expected in kinds.items() if self._caught_up(key, kind, expected)]:
            self.settle(key, kind)
        now = asyncio.get_running_loop().time()
        return {kind: now - expected.since for kind, expected in kinds.items()}

    def settle(self, key: Key, kind: str) -> None:
        """The cache holds our writes by other means (a live LIST): expect nothing of this kind."""
        kinds = self._expected.get(key, {})
        kinds.pop(kind, None)
        if not kinds:
            self._expected.pop(key, None)

    def forget(self, key: Key) -> None:
        self._expected.pop(key, None)

    def _of(self, key: Key, kind: str) -> _Expected:
        now = asyncio.get_running_loop().time()
        return self._expected.setdefault(key, {}).setdefault(kind, _Expected(now))

    def _caught_up(self, key: Key, kind: str, expected: _Expected) -> bool:
        seen, held = self._seen_version(kind, key.namespace), self._caches[kind]
        for name, version in expected.written.items():
            # A watch may lose a line and be told of later versions all the same.
            found = held.get(*name)
            if seen < version or (found is not None and version_of(found) < version):
                return False
        if any(held.get(*name) is None for name in expected.missed):
            return False
        return not any(self._is_there(kind, name, uid) for name, uid in expected.deleted.items())

    def _is_there(self, kind: str, name: Name, uid: str) -> bool:
        held = self._caches[kind].get(*name)
        return held is not None and objects.uid(held) == uid and not objects.terminating(held)
