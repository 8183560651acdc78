"""The part of the cluster that is watched: every owned kind, the ModelVersions, and the nodes.

Reconciling may start once it is synced, and goes on only where it includes our own writes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

from sluicegate.core import naming, objects
from sluicegate.core.objects import Manifest
from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.resources import Resource
from sluicegate.shell.informer import RELIST_SECONDS, Informer
from sluicegate.shell.keys import Key, child_label, owner_key
from sluicegate.shell.meter import Meter
from sluicegate.shell.store import Cache, OwnWrites
from sluicegate.shell.trim import trim

OWNED: tuple[Resource, ...] = (
    resources.REPLICA_SET,
    resources.CONTROLLER_REVISION,
    resources.POD,
    resources.SERVICE,
    resources.CONFIG_MAP,
    resources.SECRET,
    resources.DISRUPTION_BUDGET,
    resources.NETWORK_POLICY,
    resources.JOB,
)
MANAGED = f"{naming.MANAGED_BY}={naming.MANAGER}"
EVERYWHERE = ("",)
PATIENCE_SECONDS = 5.0

Changed = Callable[[str, Manifest | None, Manifest | None], None]


class View:
    """Caches of the owned kinds in some namespaces ("" for all), each with its informer.

    `changed(kind, old, new)` is told of every difference.
    """

    def __init__(
        self,
        client: Client,
        namespaces: tuple[str, ...],
        changed: Changed,
        meter: Meter,
        jitter: random.Random,
        relist_seconds: float = RELIST_SECONDS,
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        kinds = (*OWNED, resources.MODEL_VERSION, resources.NODE)
        self.caches = {kind.kind: _cache(kind, changed) for kind in kinds}
        watched = [(kind, namespace, MANAGED) for kind in OWNED for namespace in namespaces]
        watched += [(resources.MODEL_VERSION, namespace, "") for namespace in namespaces]
        watched.append((resources.NODE, "", ""))
        self._informers = {
            (kind.kind, namespace): Informer(
                client, kind, namespace, selector, self.caches[kind.kind], trim, meter, jitter, relist_seconds
            )
            for kind, namespace, selector in watched
        }
        self.own_writes = OwnWrites(self.caches, self._seen_version)

    @property
    def informers(self) -> Iterable[Informer]:
        return self._informers.values()

    @property
    def is_synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self.informers)

    async def run(self) -> None:
        """Keep every cache up to date, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run(), name=f"informer {informer.kind} {informer.namespace}")

    async def synced(self) -> None:
        for informer in self.informers:
            await informer.synced.wait()

    def owned(self, kind: Resource, uid: str) -> tuple[Manifest, ...]:
        """The objects of a kind that the object with this uid controls."""
        return self.caches[kind.kind].group(uid)

    def pods(self, key: Key) -> tuple[Manifest, ...]:
        """The pods of a custom resource's ReplicaSets or Jobs, the ones that outlive them included."""
        return self.caches[resources.POD.kind].group(str(key))

    def model_version(self, namespace: str, name: str) -> Manifest | None:
        """A ModelVersion, or None where it is not there or was not heard of yet."""
        return self.caches[resources.MODEL_VERSION.kind].get(namespace, name)

    def nodes(self) -> tuple[Manifest, ...]:
        return self.caches[resources.NODE.kind].everything()

    async def behind(self, key: Key) -> tuple[str, ...]:
        """The kinds that don't include our writes yet; after 5 s they are read live instead.

        Raises ApiError where that fails.
        """
        unseen = self.own_writes.unseen(key)
        for kind in [kind for kind, seconds in unseen.items() if seconds >= PATIENCE_SECONDS]:
            await self._read_live(kind, key)
            del unseen[kind]
        return tuple(unseen)

    async def _read_live(self, kind: str, key: Key) -> None:
        cache = self.caches[kind]
        label, value = child_label(key)
        listing = await self._client.list(
            _BY_KIND[kind], key.namespace, label_selector=f"{MANAGED},{label}={value}", keep=trim
        )
        version = int(listing.resource_version)
        # A watch that is further by now may have seen the end of some of it.
        if self._seen_version(kind, key.namespace) <= version:
            cache.replace(
                listing.items,
                version,
                lambda obj: (
                    obj["metadata"]["namespace"] == key.namespace and objects.labels(obj).get(label) == value
                ),
            )
        self.own_writes.settle(key, kind)

    def _seen_version(self, kind: str, namespace: str) -> int:
        scope = "" if self._namespaces == EVERYWHERE else namespace
        return self._informers[kind, scope].version


_BY_KIND = {kind.kind: kind for kind in OWNED}


def _cache(kind: Resource, changed: Changed) -> Cache:
    def tell(old: Manifest | None, new: Manifest | None) -> None:
        changed(kind.kind, old, new)

    return Cache(_pod_group if kind is resources.POD else objects.controller_uid, tell)


def _pod_group(pod: Manifest) -> str | None:
    key = owner_key(pod)
    return None if key is None else str(key)
