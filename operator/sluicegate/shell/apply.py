"""Carries out one action of a plan in the API server, with the guards that keep it from harming others."""

from __future__ import annotations

import contextlib
from typing import Any

from sluicegate.core import objects
from sluicegate.core.intent import IMMUTABLE, owns_annotation
from sluicegate.core.naming import DEPLOYMENT, INTENT, MANAGED_BY, MANAGER
from sluicegate.core.objects import Manifest, Ref
from sluicegate.core.plan import Apply, Create, Delete, Replace, SetFinalizers, Write
from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists, Conflict, NotFound
from sluicegate.kube.resources import find, resource_of
from sluicegate.shell.keys import Key
from sluicegate.shell.store import OwnWrites
from sluicegate.shell.trim import trim

STATUS_MANAGER = f"{MANAGER}-status"
_CONTENT = frozenset({"f:spec", "f:data", "f:rules"})


class NameTaken(Exception):  # noqa: N818
    """The name of an object to be created is held by an object that is not ours; `holder` says whose."""

    def __init__(self, ref: Ref, holder: str) -> None:
        super().__init__(f"{ref} {holder}")
        self.ref = ref
        self.holder = holder


class Applier:
    """Writes through `client` and remembers each write until the caches include it."""

    def __init__(self, client: Client, own_writes: OwnWrites) -> None:
        self._client = client
        self._own_writes = own_writes

    async def write(self, key: Key, owner_uid: str, action: Write) -> None:
        """Carry out one action for the custom resource `key` with this uid.

        Raises NameTaken, or ApiError: Conflict where the object is no longer the one that was seen.
        """
        match action:
            case Create():
                await self._create(key, action.manifest, owner_uid)
            case Apply():
                intent = _guarded(action.manifest, action.uid, action.resource_version)
                self._own_writes.wrote(key, await self._apply(intent))
            case Replace():
                self._own_writes.wrote(key, await self._replace(action))
            case Delete():
                await self._delete(key, action)
            case SetFinalizers():
                await self._set_finalizers(action)

    async def write_status(self, custom_resource: Manifest, status: Manifest) -> Manifest:
        """Apply the whole status to the object in exactly this state; answers it as stored.

        A status that was on its way for long may not take the place of one that says more.
        """
        meta = custom_resource["metadata"]
        intent = {
            "apiVersion": custom_resource["apiVersion"],
            "kind": custom_resource["kind"],
            "metadata": {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")},
            "status": status,
        }
        return await self._client.apply(intent, STATUS_MANAGER, force=True, subresource="status")

    async def amend_status(self, stored: Manifest, patch: Manifest) -> None:
        """Merge a patch into the status of the object in exactly this state."""
        meta = stored["metadata"]
        guarded = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": patch}
        resource = resource_of(stored)
        await self._client.patch_merge(
            resource, meta["namespace"], meta["name"], guarded, STATUS_MANAGER, subresource="status"
        )

    async def _create(self, key: Key, manifest: Manifest, owner_uid: str) -> None:
        try:
            self._own_writes.wrote(key, await self._client.create(manifest, MANAGER))
            return
        except AlreadyExists:
            ref = objects.ref(manifest)
            live = await self._client.get(resource_of(manifest), ref.namespace, ref.name)
        let_go = _is_let_go(live, manifest)
        if objects.controller_uid(live) != owner_uid and not let_go:
            raise NameTaken(ref, _holder(live))
        if let_go or objects.labels(live).get(MANAGED_BY) != MANAGER:
            # Somebody took off it by what it is found, so no decision will ever see it.
            is_record = manifest["kind"] in IMMUTABLE
            found = _on_record(manifest, live) if is_record else manifest
            intent = _guarded(found, objects.uid(live), objects.resource_version(live))
            self._own_writes.wrote(key, await self._apply(intent))
            if is_record:
                raise Conflict(409, "Conflict", f"{ref} is found again, and what it says was not seen yet")
            return
        if objects.annotation(live, INTENT) != objects.annotation(manifest, INTENT):
            raise Conflict(409, "Conflict", f"{ref} is there in a state that was not seen yet")
        # An answer was lost, or the news of it: this is what was to be created.
        self._own_writes.missed(key, live)

    async def _apply(self, intent: Manifest) -> Manifest:
        # By force: a field of ours that somebody else changed is theirs until it is taken back.
        return await self._client.apply(intent, MANAGER, force=True)

    async def _replace(self, action: Replace) -> Manifest:
        ref = objects.ref(action.manifest)
        try:
            live = await self._client.get(resource_of(action.manifest), ref.namespace, ref.name)
            if (objects.uid(live), objects.resource_version(live)) != (action.uid, action.resource_version):
                raise Conflict(409, "Conflict", f"{ref} has changed since it was read")
            metadata = {**live["metadata"], "managedFields": _without_foreign_content(live)}
            return await self._client.replace({**action.manifest, "metadata": metadata}, MANAGER)
        except NotFound:
            raise Conflict(409, "Conflict", f"{ref} is gone since it was read") from None

    async def _delete(self, key: Key, action: Delete) -> None:
        ref = action.ref
        resource = find(ref.api_version, ref.kind)
        with contextlib.suppress(NotFound):
            await self._client.delete(
                resource, ref.namespace, ref.name, uid=action.uid, resource_version=action.resource_version
            )
        self._own_writes.deleted(key, ref.kind, (ref.namespace, ref.name), action.uid)

    async def _set_finalizers(self, action: SetFinalizers) -> None:
        ref = action.ref
        metadata = {
            "uid": action.uid,
            "resourceVersion": action.resource_version,
            "finalizers": list(action.finalizers),
        }
        resource = find(ref.api_version, ref.kind)
        await self._client.patch_merge(resource, ref.namespace, ref.name, {"metadata": metadata}, MANAGER)


def _guarded(manifest: Manifest, uid: str, resource_version: str) -> dict[str, Any]:
    """The manifest with what makes the API server refuse it for any other object, and any other state."""
    guard = {"uid": uid, "resourceVersion": resource_version}
    return {**manifest, "metadata": {**manifest["metadata"], **guard}}


def _on_record(manifest: Manifest, live: Manifest) -> dict[str, Any]:
    """The manifest with what the live record holds, and with what we noted on it since."""
    seen = trim(live)
    noted = {key: text for key, text in seen["metadata"]["annotations"].items() if owns_annotation(seen, key)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": noted}, "data": live["data"]}


def _is_let_go(live: Manifest, intended: Manifest) -> bool:
    """Whether it is what we made, for a custom resource of this name, and belongs to nobody any more."""
    made = any(entry.get("manager") == MANAGER for entry in live["metadata"].get("managedFields") or ())
    same = objects.labels(live).get(DEPLOYMENT) == objects.labels(intended).get(DEPLOYMENT)
    return made and same and objects.controller_uid(live) is None


def _holder(live: Manifest) -> str:
    for owner in live["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"belongs to {owner['kind']} {owner['name']}"
    return "exists and belongs to no LLMDeployment or ModelVersion"


def _without_foreign_content(live: Manifest) -> list[dict[str, Any]]:
    """The managedFields with nobody but us owning content.

    Whoever applied a value equal to ours owns it as well. A write that changes no value would leave that
    so, and the object would look tampered with for ever.
    """
    kept = []
    for entry in live["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") != MANAGER:
            fields = {name: node for name, node in fields.items() if name not in _CONTENT}
        if fields:
            kept.append({**entry, "fieldsV1": fields})
    return kept
