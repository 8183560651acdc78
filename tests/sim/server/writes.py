"""What a create, an update, an apply and a delete do to one stored object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.sim.server import defaults, rules
from tests.sim.server.allocation import ADDRESSES, allocate
from tests.sim.server.apply import (
    ApplyConflictError,
    Manager,
    Managers,
    Ownership,
    in_order,
    managed_fields,
    managers_of,
)
from tests.sim.server.fields import Path
from tests.sim.server.kinds import Kind
from tests.sim.server.refusals import (
    already_exists,
    bad_request,
    being_terminated,
    conflict,
    failed,
    invalid,
    not_found,
    refusal,
)
from tests.sim.server.store import Key, Object, Store, Stored
from tests.sim.server.structure import defaulted, pruned, untypable

from sluicegate.kube.errors import Cause
from sluicegate.kube.resources import NAMESPACE, Resource

_CONDITIONAL_UPDATE_ONLY = {"Lease", "PodDisruptionBudget"}
_ANSWERED_WHEN_DELETED = {"Pod", "Service", "ServiceAccount", "PersistentVolumeClaim"}
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True)
class Target:
    """What a write is aimed at, and in whose name."""

    kind: Kind
    namespace: str
    name: str
    manager: str = ""
    subresource: str = ""
    may_create: Callable[[], None] = lambda: None
    """Raises where an apply must not create."""

    @property
    def resource(self) -> Resource:
        return self.kind.resource

    @property
    def key(self) -> Key:
        return key_of(self.resource, self.namespace, self.name)

    def owner(self, operation: str) -> Manager:
        return Manager(self.manager, operation, self.resource.api_version, self.subresource)


def key_of(resource: Resource, namespace: str, name: str) -> Key:
    return f"{resource.api_version}/{resource.plural}", namespace if resource.namespaced else "", name


class Writes:
    """Writes to a store in the API server's order: admit, own, validate, count, store.

    `created` counts the objects made so far: uids, generated names and addresses come from it.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], created: int) -> None:
        self._store = store
        self._now = now
        self.created = created

    def read(self, target: Target) -> Stored:
        found = self._store.get(target.key)
        if found is None:
            raise not_found(target.resource, target.name)
        return found

    def create(self, target: Target, body: Object) -> Object:
        body, meta = _opened(body)
        if meta.get("resourceVersion"):
            raise failed("resourceVersion should not be set on objects to be created")
        self._require_namespace(target, meta.get("name") or meta.get("generateName", ""))
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{self.created:05x}"
        new = self._admitted(target, body, {})
        owners = self._ownership(target).updated(
            self._empty(target), new, {}, target.owner("Update"), self._timestamp()
        )
        return self._insert(target, new, owners)

    def update(self, target: Target, body: Object) -> Object:
        old = self.read(target)
        body, meta = _opened(body)
        if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise conflict(target.resource, target.name, "Precondition failed: UID in precondition")
        unconditional = not target.kind.custom and target.resource.kind not in _CONDITIONAL_UPDATE_ONLY
        if not meta.get("resourceVersion") and not unconditional:
            missing = Cause(
                "metadata.resourceVersion", "must be specified for an update", "FieldValueInvalid"
            )
            raise invalid(target.resource, target.name, [missing])
        return self._rewrite(target, old, body)

    def merge_patch(self, target: Target, patch: Object) -> Object:
        old = self.read(target)
        return self._rewrite(target, old, _merge_patched(old, patch))

    def apply(self, target: Target, body: Object, force: bool) -> Object:
        body, meta = _opened(body)
        if meta.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        meta.setdefault("name", target.name)
        if target.resource.namespaced:
            meta.setdefault("namespace", target.namespace)
        live = self._store.get(target.key)
        if live is None:
            return self._apply_new(target, body, force)
        new, owners = self._applied(target, live, body, force)
        return self._settle(target, live, new, owners)

    def delete(self, target: Target, options: Object) -> Object | None:
        """Delete, or mark as terminating. Answers the object where it stays, None where it is gone."""
        old = self.read(target)
        guard = options.get("preconditions") or {}
        for name in ("uid", "resourceVersion"):
            wanted, found = guard.get(name), old["metadata"][name]
            if wanted is not None and wanted != found:
                why = f"Precondition failed: {name} in precondition: {wanted}, in object meta: {found}"
                raise conflict(target.resource, target.name, why)
        if target.resource == NAMESPACE:
            return self._end_namespace(target, old)
        finalizers = _finalizers_after(
            old["metadata"].get("finalizers", []), options.get("propagationPolicy")
        )
        grace = self._grace(old, options)
        if not finalizers and grace == 0:
            last = self._terminated(target, self._store.delete(target.key), [], 0)
            return last if target.resource.kind in _ANSWERED_WHEN_DELETED else None
        return self._terminate(target, old, finalizers, grace)

    def _end_namespace(self, target: Target, old: Stored) -> Object:
        """It stays, and takes nothing in, until its controller has emptied it."""
        if "deletionTimestamp" in old["metadata"]:
            return old
        meta = {**old["metadata"], "deletionTimestamp": self._timestamp()}
        return self._store.put(target.key, {**old, "metadata": meta, "status": {"phase": "Terminating"}})

    def _apply_new(self, target: Target, body: Object, force: bool) -> Object:
        meta = body["metadata"]
        if target.subresource:
            raise not_found(target.resource, target.name)
        if meta.get("uid"):
            why = f"the provided object specified uid {meta['uid']}, and no existing object was found"
            raise conflict(target.resource, target.name, f"uid mismatch: {why}")
        meta.pop("resourceVersion", None)
        self._require_namespace(target, target.name)
        new, owners = self._applied(target, None, body, force)
        target.may_create()
        return self._insert(target, new, owners)

    def _applied(
        self, target: Target, live: Stored | None, body: Object, force: bool
    ) -> tuple[Object, Managers]:
        schema = target.kind.schema
        if why := untypable(schema, body):
            raise failed(f"failed to create typed patch object: {why}")
        before, managers = (_bare(live), live.managers) if live else (self._empty(target), {})
        try:
            new, owners = self._ownership(target).applied(
                before, body, managers, target.owner("Apply"), self._timestamp(), force
            )
        except ApplyConflictError as found:
            causes = [Cause(field, message, "FieldManagerConflict") for field, message in found.causes]
            raise refusal(409, "Conflict", str(found), causes=causes) from found
        return self._admitted(target, new, live or {}), owners

    def _rewrite(self, target: Target, old: Stored, body: Object) -> Object:
        # A body that brings managedFields along replaces the books by its own.
        brought = body["metadata"].get("managedFields")
        same = brought is old["metadata"].get("managedFields")
        books = old.managers if same else managers_of(body) or old.managers
        new = self._admitted(target, _bare(body), old)
        owners = self._ownership(target).updated(
            _bare(old), new, books, target.owner("Update"), self._timestamp()
        )
        return self._settle(target, old, new, owners)

    def _admitted(self, target: Target, obj: Object, old: Object) -> Object:
        """The object as decoded: pruned and with defaults. What is as in the `old` one is shared with it."""
        schema = target.kind.schema
        same: Object = {
            side: old[side] for side in ("spec", "status") if side in old and old[side] == obj.get(side)
        }
        obj = pruned(schema, {name: part for name, part in obj.items() if name not in same})
        obj["metadata"] = defaults.without_empty(schema, {"metadata": obj["metadata"]})["metadata"]
        if target.kind.custom:
            return {**defaulted(schema, obj), **same}
        empty = defaults.empty(target.resource.kind)
        obj = defaults.without_empty(schema, {**({"spec": empty["spec"]} if "spec" in empty else {}), **obj})
        defaults.fill(target.resource.kind, obj)
        return {**obj, **same}

    def _insert(self, target: Target, new: Object, owners: Managers) -> Object:
        if target.kind.status and target.resource != NAMESPACE:
            new = {key: value for key, value in new.items() if key != "status"}
        meta = new["metadata"]
        self._refuse(target, meta.get("name", ""), rules.of_object(target.kind, new))
        key = key_of(target.resource, target.namespace, meta["name"])
        if self._store.get(key) is not None:
            raise already_exists(target.resource, meta["name"])
        self.created += 1
        meta |= {
            "uid": f"00000000-0000-4000-8000-{self.created:012x}",
            "creationTimestamp": self._timestamp(),
        }
        if target.resource.namespaced:
            meta["namespace"] = target.namespace
        meta.pop("deletionTimestamp", None)
        meta.pop("generation", None)
        if target.kind.generation:
            meta["generation"] = 1
        allocate(target.resource, new, self.created)
        return self._put(key, self._finished(target, new, owners), owners)

    def _settle(self, target: Target, old: Stored, new: Object, owners: Managers) -> Object:
        """Store `new` in place of `old`, unless nothing differs."""
        self._refuse(target, target.name, rules.of_change(target.kind, old, new))
        version = new["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(target.resource, target.name, _MODIFIED)
        new = self._merge_endpoint(target, old, new)
        if target.resource.kind == "Service":
            new["spec"] |= {key: old["spec"][key] for key in ADDRESSES if key not in new["spec"]}
        self._refuse(target, target.name, rules.of_object(target.kind, new, old))
        new["metadata"].pop("generation", None)
        if target.kind.generation:
            changed = _counted(target.kind, old) != _counted(target.kind, new)
            new["metadata"]["generation"] = old["metadata"]["generation"] + changed
        new = self._finished(target, new, owners)
        if self._store.holds(target.key, new):
            return old
        if new["metadata"].get("deletionTimestamp") and not _is_kept(new):
            # The last update is never stored: watchers see the state before it.
            self._store.delete(target.key)
            return new
        return self._put(target.key, new, owners)

    def _put(self, key: Key, new: Object, owners: Managers) -> Stored:
        """Store an object whose managedFields say these owners: nobody has to read them there again."""
        stored = self._store.put(key, new)
        stored.managers = in_order(owners)
        return stored

    def _merge_endpoint(self, target: Target, old: Object, new: Object) -> Object:
        """What an endpoint may write: status through its own, all else through the main one."""
        if target.subresource == "status":
            keep = {key: value for key, value in old.items() if key != "status"}
            meta = {**old["metadata"], "resourceVersion": new["metadata"].get("resourceVersion", "")}
            return {**keep, "metadata": meta, **({"status": new["status"]} if "status" in new else {})}
        if target.kind.status:
            new = {key: value for key, value in new.items() if key != "status"}
            new |= {"status": old["status"]} if "status" in old else {}
        kept = {
            name: old["metadata"][name]
            for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
                         "deletionGracePeriodSeconds", "generation")
            if name in old["metadata"]
        }  # fmt: skip
        return {**new, "metadata": {**new["metadata"], **kept}}

    def _finished(self, target: Target, obj: Object, owners: Managers) -> Object:
        meta = {**obj["metadata"], "managedFields": managed_fields(owners)}
        if not owners:
            del meta["managedFields"]
        old = self._store.get(key_of(target.resource, target.namespace, meta["name"]))
        meta["resourceVersion"] = old["metadata"]["resourceVersion"] if old else ""
        head = {"apiVersion": target.resource.api_version, "kind": target.resource.kind}
        return {**head, **obj, "metadata": meta}

    def _ownership(self, target: Target) -> Ownership:
        def may_own(path: Path) -> bool:
            if target.subresource == "status":
                return path[0] != "f:spec"
            return path[0] != "f:status" or not target.kind.status

        return Ownership(target.kind.schema, may_own)

    def _empty(self, target: Target) -> Object:
        return {"metadata": {}} if target.kind.custom else defaults.empty(target.resource.kind)

    def _require_namespace(self, target: Target, name: str) -> None:
        if not target.resource.namespaced:
            return
        namespace = self._store.get(key_of(NAMESPACE, "", target.namespace))
        if namespace is None:
            raise not_found(NAMESPACE, target.namespace)
        if "deletionTimestamp" in namespace["metadata"]:
            raise being_terminated(target.resource, name, target.namespace)

    def _refuse(self, target: Target, name: str, causes: Iterator[Cause]) -> None:
        found = tuple(causes)
        if found:
            raise invalid(target.resource, name, found)

    def _grace(self, old: Object, options: Object) -> int:
        """Seconds that a pod is given: none where no kubelet has to be waited for."""
        if old["kind"] != "Pod" or not old["spec"].get("nodeName"):
            return 0
        asked = options.get("gracePeriodSeconds")
        return int(old["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)

    def _terminate(self, target: Target, old: Object, finalizers: list[str], grace: int) -> Object:
        new = self._terminated(target, old, finalizers, grace)
        new["metadata"]["deletionGracePeriodSeconds"] = grace
        new["metadata"]["finalizers"] = finalizers
        if not finalizers:
            del new["metadata"]["finalizers"]
        return old if new == old else self._store.put(target.key, new)

    def _terminated(self, target: Target, old: Object, finalizers: list[str], grace: int) -> Object:
        """The object with the marks of a deletion, as far as its kind shows them."""
        meta = dict(old["metadata"])
        if "deletionTimestamp" not in meta and (finalizers or target.resource.kind == "Pod"):
            meta["deletionTimestamp"] = rfc3339(self._now() + timedelta(seconds=grace))
            if target.kind.generation:
                meta["generation"] += 1
        if target.resource.kind == "Pod":
            meta["deletionGracePeriodSeconds"] = grace
        return {**old, "metadata": meta}

    def _timestamp(self) -> str:
        return rfc3339(self._now())


def rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _opened(body: Object) -> tuple[Object, Object]:
    """The body and its metadata, to be changed without the sender's notice."""
    meta = dict(body.get("metadata") or {})
    return {**body, "metadata": meta}, meta


def _bare(obj: Object) -> Object:
    """The object without its bookkeeping."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _counted(kind: Kind, obj: Object) -> Object:
    """What a generation counts the changes of."""
    counted = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    if kind.resource.kind == "EndpointSlice":
        counted |= {key: obj["metadata"].get(key) for key in ("labels", "annotations")}
    return counted


def _is_kept(obj: Object) -> bool:
    """Whether something has to be done yet before a terminating object may go."""
    emptied = obj["kind"] != "Namespace" or not obj["spec"].get("finalizers")
    meta = obj["metadata"]
    return bool(meta.get("finalizers") or meta.get("deletionGracePeriodSeconds") or not emptied)


def _finalizers_after(finalizers: list[str], propagation: str | None) -> list[str]:
    kept = [each for each in finalizers if each not in ("orphan", "foregroundDeletion")]
    word = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(propagation or "")
    return [*kept, word] if word else kept


def _merge_patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    base = value if isinstance(value, dict) else {}
    merged = {**base, **{key: _merge_patched(base.get(key), part) for key, part in patch.items()}}
    return {key: part for key, part in merged.items() if not (key in patch and patch[key] is None)}
