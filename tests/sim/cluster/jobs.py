"""The Job controller, for Jobs of one pod that is tried once."""

from __future__ import annotations

import random
from typing import Any

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import by_owner, phase

from sluicegate.core.objects import Manifest, is_true, name, terminating, uid
from sluicegate.kube.resources import JOB, POD


class Jobs:
    """A Job's pod ends as Succeeded or Failed; the Job says the same after it."""

    def __init__(self, server: ApiServer, chance: random.Random) -> None:
        self._server = server
        self._hand = server.hand("kube-controller-manager")
        self._chance = chance

    def sync(self) -> None:
        pods = by_owner(self._server.peek(POD))
        for job in list(self._server.peek(JOB)):
            over = is_true(job, "Complete") or is_true(job, "Failed")
            if not over and not terminating(job) and not job["spec"].get("suspend"):
                self._run(job, pods.get(uid(job), []))

    def _run(self, job: Manifest, pods: list[Manifest]) -> None:
        ended = {phase(pod) for pod in pods} & {"Succeeded", "Failed"}
        if ended:
            kind = "Complete" if "Succeeded" in ended else "Failed"
            reason = "CompletionsReached" if kind == "Complete" else "BackoffLimitExceeded"
            self._conclude(job, kind, reason)
        elif not pods:
            self._make(job)

    def _make(self, job: Manifest) -> None:
        template = job["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name(job), "uid": uid(job)}
        metadata = {
            **template["metadata"],
            "namespace": job["metadata"]["namespace"],
            "name": f"{name(job)}-{self._chance.randrange(16**5):05x}",
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._hand.create(pod)

    def _conclude(self, job: Manifest, kind: str, reason: str) -> None:
        now = self._server.timestamp()
        times = {"lastProbeTime": now, "lastTransitionTime": now}
        condition: dict[str, Any] = {"type": kind, "status": "True", "reason": reason, **times}
        where, status = job["metadata"], {"status": {"conditions": [condition]}}
        self._hand.patch(JOB, where["namespace"], where["name"], status, subresource="status")
