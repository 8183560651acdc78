"""A ModelVersion and its inspection Job as plain data: enough of the API server for the model planner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.builders import DEFAULTS, FACTS, NOW, a_model_version, digest
from tests.core import invariants
from tests.core.frozen import frozen

from sluicegate.core.conditions import timestamp
from sluicegate.core.model_planner import plan_model_version
from sluicegate.core.objects import Ref, ref
from sluicegate.core.observed import SeenModelVersion
from sluicegate.core.plan import Action, Create, Delete, Plan, SetFinalizers
from sluicegate.core.problem import name_taken

FOUND = json.dumps({"digest": digest("v1"), "sizeBytes": 269_060_552, "files": 5, "facts": FACTS})


def failure(reason: str, message: str = "what, where, what to do", *, retryable: bool = False) -> str:
    return json.dumps({"error": {"reason": reason, "message": message, "retryable": retryable}})


class Inspection:
    """One ModelVersion and everything around it."""

    def __init__(self, model: Mapping[str, Any] | None = None) -> None:
        fresh = a_model_version("v1", ready=False)
        fresh["metadata"]["finalizers"] = []
        self.now: datetime = NOW
        self.model = frozen(model or fresh)
        self.jobs: list[Any] = []
        self.pods: list[Any] = []
        self.users: tuple[str, ...] = ()
        self.foreign = False
        self.log: list[Action] = []

    def seen(self) -> SeenModelVersion:
        taken = name_taken(Ref("batch/v1", "Job", "models", "v1-inspect"), "belongs to CronJob nightly")
        return SeenModelVersion(
            custom_resource=self.model,
            defaults=DEFAULTS,
            jobs=tuple(self.jobs),
            pods=tuple(self.pods),
            users=self.users,
            obstacle=taken if self.foreign else None,
        )

    def plan(self) -> Plan:
        plan = plan_model_version(self.seen(), self.now)
        invariants.check_plan(plan)
        invariants.check_labels(plan)
        return plan

    def reconcile(self, *, crash_after: int | None = None) -> Plan:
        plan = self.plan()
        for count, action in enumerate(plan.actions):
            if count == crash_after:
                return plan
            self._carry_out(action)
        if plan.status is not None and crash_after is None:
            self.set_status(plan.status)
        return plan

    def _carry_out(self, action: Action) -> None:
        self.log.append(action)
        match action:
            case Create(manifest):
                assert not self.jobs
                stamp = {"uid": f"uid-{len(self.log)}", "resourceVersion": str(len(self.log))}
                stamp["creationTimestamp"] = timestamp(self.now)
                self.jobs.append(frozen({**manifest, "metadata": {**manifest["metadata"], **stamp}}))
            case Delete(where, uid, version, _):
                (job,) = self.jobs
                found = (ref(job), job["metadata"]["uid"], job["metadata"]["resourceVersion"])
                assert found == (where, uid, version)
                self.jobs.clear()
                self.pods.clear()
            case SetFinalizers(finalizers=finalizers):
                self.set_metadata(finalizers=list(finalizers))
            case _:
                raise AssertionError(f"nothing does {action} for a ModelVersion")

    # what tests and the cluster do to it

    def set_status(self, status: Any) -> None:
        self.model = frozen({**self.model, "status": status})

    def set_metadata(self, **fields: Any) -> None:
        self.model = frozen({**self.model, "metadata": {**self.model["metadata"], **fields}})

    def delete(self) -> None:
        self.set_metadata(deletionTimestamp=timestamp(self.now))

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    def pod(self, **status: Any) -> None:
        """The Job's pod is in this state."""
        owner = {"kind": "Job", "uid": self.jobs[0]["metadata"]["uid"], "controller": True}
        meta = {"name": "pod-1", "namespace": "models", "uid": "uid-pod-1", "ownerReferences": [owner]}
        self.pods = [frozen({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})]

    def end(self, message: str, exit_code: int = 0, reason: str = "Completed") -> None:
        """The Job's pod ended with these last words."""
        ended = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
        self.pod(phase="Failed", containerStatuses=[{"name": "inspect", "state": ended}])

    def job_condition(self, kind: str, message: str = "") -> None:
        done = {"conditions": [{"type": kind, "status": "True", "message": message}]}
        self.jobs = [frozen({**job, "status": done}) for job in self.jobs]

    # what tests look at

    def condition(self, kind: str) -> Mapping[str, Any]:
        found = (self.model.get("status") or {}).get("conditions") or ()
        return next((each for each in found if each["type"] == kind), {})

    @property
    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.model["status"]
        return found


def under_way() -> Inspection:
    """Protected, and its Job made."""
    inspection = Inspection()
    inspection.reconcile()
    inspection.reconcile()
    return inspection


def verified() -> Inspection:
    inspection = under_way()
    inspection.end(FOUND)
    for _ in range(3):
        inspection.reconcile()
    return inspection
