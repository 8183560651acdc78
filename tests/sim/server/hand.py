"""How modelled controllers write: by the API server's rules, at once and without the bytes of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.sim.server.kinds import Kind
from tests.sim.server.store import Object
from tests.sim.server.writes import Target, Writes, key_of

from sluicegate.kube.client import Propagation
from sluicegate.kube.resources import Resource, resource_of


class Hand:
    """Writes in the name of one field manager. Each raises RefusedError; answers are to be looked at only.

    `before` and `after` are called around each write.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        writes: Writes,
        before: Callable[[], None],
        after: Callable[[], None],
        manager: str,
    ) -> None:
        self._kinds = kinds
        self._writes = writes
        self._before = before
        self._after = after
        self._manager = manager

    def create(self, obj: Mapping[str, Any]) -> Object:
        target = self._target(resource_of(obj), obj["metadata"].get("namespace", ""))
        created = self._writes.create(target, dict(obj))
        self._after()
        return created

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        merge_patch: Mapping[str, Any],
        subresource: str = "",
    ) -> Object:
        target = self._target(resource, namespace, name, subresource)
        patched = self._writes.merge_patch(target, dict(merge_patch))
        self._after()
        return patched

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        grace_seconds: int | None = None,
        propagation: Propagation = "Background",
    ) -> Object | None:
        """Answers the object where it stays, None where it is gone."""
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        left = self._writes.delete(self._target(resource, namespace, name), options)
        self._after()
        return left

    def _target(self, resource: Resource, namespace: str, name: str = "", subresource: str = "") -> Target:
        self._before()
        kind = self._kinds[key_of(resource, "", "")[0]]
        return Target(kind, namespace, name, self._manager, subresource)
