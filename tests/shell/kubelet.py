"""The ReplicaSet controller and kubelets in one: pods appear for ReplicaSets, and are ready after a while."""

from __future__ import annotations

import asyncio
from typing import Any

from sluicegate.core.objects import Manifest, controller_uid, name, terminating, uid
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.resources import POD, REPLICA_SET, Resource

MANAGER = "kubelet"
FOREVER = 1_000_000.0


class Kubelet:
    """Acts on every change in a namespace, and `start_seconds` after it has made a pod."""

    def __init__(self, client: Client, namespace: str, start_seconds: float = 1.0) -> None:
        self._client = client
        self._namespace = namespace
        self._start_seconds = start_seconds
        self._made = 0
        self._ready_at: dict[str, float] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind in (REPLICA_SET, POD):
                group.create_task(self._follow(kind))
            group.create_task(self._act())

    async def _follow(self, kind: Resource) -> None:
        version = (await self._client.list(kind, self._namespace)).resource_version
        events = self._client.watch(
            kind, self._namespace, resource_version=version, seconds=FOREVER, inactivity=FOREVER
        )
        async for event in events:
            if event.type != "BOOKMARK":
                self._news.set()

    async def _act(self) -> None:
        while True:
            pods = (await self._client.list(POD, self._namespace)).items
            for replica_set in (await self._client.list(REPLICA_SET, self._namespace)).items:
                await self._scale(replica_set, pods)
            for pod in filter(terminating, pods):
                await self._client.delete(POD, self._namespace, name(pod), grace_seconds=0)
            await self._news.wait()
            await asyncio.sleep(0.1)
            self._news.clear()

    async def _scale(self, replica_set: Manifest, every_pod: list[dict[str, Any]]) -> None:
        pods = [pod for pod in every_pod if controller_uid(pod) == uid(replica_set) and not terminating(pod)]
        wanted = 0 if terminating(replica_set) else replica_set["spec"]["replicas"]
        for pod in pods[wanted:]:
            await self._client.delete(POD, self._namespace, name(pod))
        for _ in range(wanted - len(pods)):
            await self._make(replica_set)
        for pod in pods[:wanted]:
            await self._start(pod)

    async def _make(self, replica_set: Manifest) -> None:
        self._made += 1
        template = replica_set["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": name(replica_set),
            "uid": uid(replica_set),
            "controller": True,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": self._namespace,
                "name": f"{name(replica_set)}-{self._made}",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner],
            },
            "spec": {**template["spec"], "nodeName": "node1"},
        }
        created = await self._client.create(pod, MANAGER)
        self._ready_at[uid(created)] = _now() + self._start_seconds

    async def _start(self, pod: Manifest) -> None:
        if pod.get("status", {}).get("conditions"):
            return
        left = self._ready_at.get(uid(pod), 0.0) - _now()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self._news.set)
            return
        address = f"10.0.0.{self._made}"
        times = dict.fromkeys(("lastProbeTime", "lastTransitionTime"), "2026-01-01T00:00:00Z")
        condition = {"type": "Ready", "status": "True", **times}
        ready: dict[str, Any] = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [condition],
        }
        try:
            await self._client.patch_merge(
                POD, self._namespace, name(pod), {"status": ready}, MANAGER, subresource="status"
            )
        except ApiError:
            return


def _now() -> float:
    return asyncio.get_running_loop().time()
