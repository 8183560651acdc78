"""The namespace controller: a namespace that is to go is emptied first."""

from __future__ import annotations

from tests.sim.apiserver import ApiServer

from sluicegate.core.objects import name, terminating
from sluicegate.kube.resources import NAMESPACE, resource_of


class Namespaces:
    """Deletes everything in it at once, waits for what is kept, and takes its own mark off."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._hand = server.hand("kube-controller-manager")

    def sync(self) -> None:
        for namespace in [each for each in self._server.peek(NAMESPACE) if terminating(each)]:
            self._empty(name(namespace))

    def _empty(self, namespace: str) -> None:
        left = [obj for (_, where, _), obj in self._server.store.every() if where == namespace]
        for obj in left:
            if not terminating(obj):
                self._hand.delete(resource_of(obj), namespace, name(obj))
        if not left:
            self._hand.patch(NAMESPACE, "", namespace, {"spec": {"finalizers": None}})
