"""The garbage collector: what belongs only to objects that are gone goes after them."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.server.store import Key, Object, Store

from sluicegate.kube.client import Propagation


class GarbageCollector:
    """Follows ownerReferences by uid. `delete` removes an object as the API server would on request.

    What has dependents of its own is waited for, too, where its owner is deleted in the foreground.
    """

    def __init__(self, store: Store, delete: Callable[[Key, Propagation], None]) -> None:
        self._store = store
        self._delete = delete

    def collect(self) -> None:
        """Work until nothing is left to do."""
        while sum(self._visit(key) for key, _ in self._store.every()):
            continue

    def _visit(self, key: Key) -> bool:
        obj = self._store.get(key)
        if obj is None:
            return False
        if obj["metadata"].get("deletionTimestamp"):
            return self._finish(key, obj)
        references = obj["metadata"].get("ownerReferences") or ()
        alive = [each for each in references if self._store.key_of(each["uid"])]
        if not references or len(alive) == len(references):
            return False
        if alive:
            self._store.put(key, _with(obj, ownerReferences=alive))
        else:
            self._delete(key, "Background")
        return True

    def _finish(self, key: Key, obj: Object) -> bool:
        """Take the collector's own finalizers off a terminating object, once they have done their work."""
        finalizers = obj["metadata"].get("finalizers", [])
        if not {"orphan", "foregroundDeletion"} & set(finalizers):
            return False
        dependents = self._dependents(obj["metadata"]["uid"])
        if "orphan" in finalizers:
            for dependent, child in dependents:
                kept = [
                    each
                    for each in child["metadata"]["ownerReferences"]
                    if each["uid"] != obj["metadata"]["uid"]
                ]
                self._store.put(dependent, _with(child, ownerReferences=kept))
            return self._release(key, obj, "orphan")
        waiting = [each for each in dependents if not each[1]["metadata"].get("deletionTimestamp")]
        for dependent, child in waiting:
            below = self._dependents(child["metadata"]["uid"])
            self._delete(dependent, "Foreground" if below else "Background")
        return bool(waiting) if dependents else self._release(key, obj, "foregroundDeletion")

    def _release(self, key: Key, obj: Object, finalizer: str) -> bool:
        left = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        if left:
            self._store.put(key, _with(obj, finalizers=left))
        else:
            self._store.delete(key)
        return True

    def _dependents(self, uid: str) -> list[tuple[Key, Object]]:
        return [
            (key, obj)
            for key, obj in self._store.every()
            if any(each["uid"] == uid for each in obj["metadata"].get("ownerReferences") or ())
        ]


def _with(obj: Object, **metadata: list[Object] | list[str]) -> Object:
    meta = {key: value for key, value in {**obj["metadata"], **metadata}.items() if value != []}
    return {**obj, "metadata": meta}
