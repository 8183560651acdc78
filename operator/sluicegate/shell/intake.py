"""Turns what was observed into keys: an object's own, and those of the custom resources it bears on."""

from __future__ import annotations

from collections.abc import Iterable

from sluicegate.core.objects import Manifest
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, NODE
from sluicegate.shell.gather import model_keys, named_by_colours, named_by_spec
from sluicegate.shell.keys import Key, key_of, owner_key
from sluicegate.shell.workqueue import Priority, WorkQueue


class Intake:
    """Enqueues. It remembers only which custom resources there are and which ModelVersions each names."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._named: dict[Key, frozenset[Key]] = {}

    @property
    def known(self) -> frozenset[Key]:
        return frozenset(self._named)

    def heard(self, event: str | None, custom_resource: Manifest) -> None:
        """An event of a watch, None for what was there already when it began: that is no news."""
        if event == "DELETED":
            self.vanished(key_of(custom_resource), Priority.EVENT)
        else:
            self.observe(custom_resource, Priority.RESYNC if event is None else Priority.EVENT)

    def observe(self, custom_resource: Manifest, priority: Priority) -> None:
        """A custom resource exists, in this or a newer state."""
        key = key_of(custom_resource)
        before = self._named.get(key, frozenset())
        named = frozenset(model_keys(key.namespace, named_by_spec(custom_resource)))
        self._named[key] = named
        self._add({key, *self._users(key), *(before ^ named)}, priority)

    def vanished(self, key: Key, priority: Priority) -> None:
        """A custom resource is no more."""
        self._add({key, *self._users(key), *self._named.pop(key, ())}, priority)

    def remember(self, custom_resource: Manifest) -> Key:
        """Learn of a custom resource without having anything looked at."""
        key = key_of(custom_resource)
        self._named[key] = frozenset(model_keys(key.namespace, named_by_spec(custom_resource)))
        return key

    def changed(self, kind: str, old: Manifest | None, new: Manifest | None) -> None:
        """A watched object differs; None stands for absence."""
        if kind == NODE.kind:
            # Capacity came or went. It is nobody's in particular, so nobody is in a hurry.
            self._add((key for key in self._named if key.kind == LLM_DEPLOYMENT.kind), Priority.RESYNC)
            return
        states = [state for state in (old, new) if state is not None]
        if kind == MODEL_VERSION.kind:
            # A new one needs no second look: it is read live until the cache has it.
            self._add(() if old is None else self._users(key_of(old)), Priority.EVENT)
            return
        owners = {owner_key(state) for state in states}
        self._add((key for key in owners if key is not None), Priority.EVENT)
        if kind == CONFIG_MAP.kind:
            # A colour that goes releases its ModelVersion.
            namespace = states[0]["metadata"]["namespace"]
            self._add(model_keys(namespace, named_by_colours(states)), Priority.EVENT)

    def _users(self, model_version: Key) -> set[Key]:
        return {key for key, named in self._named.items() if model_version in named}

    def _add(self, keys: Iterable[Key], priority: Priority) -> None:
        # In an order that is the same each time, so that a run can be made again.
        for key in sorted(keys):
            self._queue.add(key, priority)
