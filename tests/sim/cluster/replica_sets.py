"""The ReplicaSet controller: as many active pods as wanted."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import active, by_owner, is_ready
from tests.sim.server.refusals import RefusedError

from sluicegate.core.objects import Manifest, condition, name, terminating, uid
from sluicegate.kube.resources import POD, REPLICA_SET

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ReplicaSets:
    """Pods are named after their ReplicaSet and five random signs, as the real one does."""

    def __init__(self, server: ApiServer, chance: random.Random) -> None:
        self._server = server
        self._hand = server.hand("kube-controller-manager")
        self._chance = chance

    def sync(self) -> None:
        pods = by_owner(self._server.peek(POD))
        for replica_set in list(self._server.peek(REPLICA_SET)):
            if not terminating(replica_set):
                self._scale(replica_set, [pod for pod in pods.get(uid(replica_set), ()) if active(pod)])

    def _scale(self, replica_set: Manifest, pods: list[Manifest]) -> None:
        wanted = int(replica_set["spec"].get("replicas", 1))
        refused = ""
        for _ in range(wanted - len(pods)):
            refused = refused or self._make(replica_set)
        # The ones that serve stay longest, and of these the oldest.
        youngest = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        for pod in sorted(youngest, key=is_ready)[: max(0, len(pods) - wanted)]:
            self._hand.delete(POD, pod["metadata"]["namespace"], name(pod))
        self._report(replica_set, pods, refused)

    def _make(self, replica_set: Manifest) -> str:
        """Make a pod; returns why it was refused."""
        template: Mapping[str, Any] = replica_set["spec"]["template"]
        suffix = "".join(self._chance.choices(_LETTERS, k=5))
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": name(replica_set),
            "uid": uid(replica_set),
            "controller": True,
            "blockOwnerDeletion": True,
        }
        metadata = {
            **template["metadata"],
            "namespace": replica_set["metadata"]["namespace"],
            "name": f"{name(replica_set)}-{suffix}",
            "ownerReferences": [owner],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        try:
            self._hand.create(pod)
        except RefusedError as refused:
            return str(refused.status["message"])
        return ""

    def _report(self, replica_set: Manifest, pods: list[Manifest], refused: str) -> None:
        ready = sum(map(is_ready, pods))
        status: dict[str, Any] = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "fullyLabeledReplicas": len(pods),
            "observedGeneration": replica_set["metadata"]["generation"],
            "conditions": None,
        }
        if refused:
            known = condition(replica_set, "ReplicaFailure") or {}
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
            since = known.get("lastTransitionTime") or self._server.timestamp()
            status["conditions"] = [{**failure, "message": refused, "lastTransitionTime": since}]
        if _says(replica_set.get("status") or {}) != _says(status):
            where = replica_set["metadata"]
            patch = {"status": status}
            self._hand.patch(REPLICA_SET, where["namespace"], where["name"], patch, subresource="status")


def _says(status: Mapping[str, Any]) -> dict[str, Any]:
    """A count of zero is as good as none."""
    return {key: value for key, value in status.items() if value}
