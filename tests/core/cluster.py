"""A cluster of plain data that plans are carried out on: enough of the API server and of kubelets for core.

It keeps what the API server would: uids, resourceVersions, who owns which field. Pods follow ReplicaSets.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluicegate.core import naming
from sluicegate.core.model_planner import users
from sluicegate.core.objects import Ref, labels, ref
from sluicegate.core.observed import Answer, Defaults, RuntimeStatus, SeenDeployment
from sluicegate.core.plan import Action, Apply, Ask, Create, Delete, Inquire, Plan, Replace, SetFinalizers
from sluicegate.core.planner import plan_deployment
from tests.builders import DEFAULTS, NOW

DESTRUCTIVE = (Delete, Replace)


class Cluster:
    """One LLMDeployment and everything around it."""

    def __init__(
        self, deployment: dict[str, Any], *others: dict[str, Any], defaults: Defaults = DEFAULTS
    ) -> None:
        self.now: datetime = NOW
        self.defaults = defaults
        self.deployment = deployment
        self.objects: dict[Ref, dict[str, Any]] = {}
        self.answers: dict[str, Answer] = {}
        self.runtimes: dict[str, RuntimeStatus] = {}
        self.conflicts: dict[Ref, str] = {}
        self.broken: set[str] = set()
        self.log: list[Action] = []
        self._serial = 1
        for other in others:
            self.put(other)

    # what tests do to it

    def put(self, obj: dict[str, Any]) -> None:
        stored = copy.deepcopy(obj)
        stored["metadata"].setdefault("uid", f"uid-{self._next()}")
        stored["metadata"]["resourceVersion"] = self._next()
        self.objects[ref(stored)] = stored

    def edit(self, **spec: Any) -> None:
        self.deployment = copy.deepcopy(self.deployment)
        self.deployment["spec"] = {**self.deployment["spec"], **spec}
        self.deployment["metadata"]["generation"] += 1

    def wipe_status(self) -> None:
        self.deployment = {key: value for key, value in self.deployment.items() if key != "status"}

    def of_kind(self, kind: str) -> tuple[dict[str, Any], ...]:
        return tuple(obj for where, obj in sorted(self.objects.items()) if where.kind == kind)

    def one(self, kind: str, name: str) -> dict[str, Any]:
        return next(obj for obj in self.of_kind(kind) if obj["metadata"]["name"] == name)

    def remove(self, obj: dict[str, Any]) -> None:
        self.objects.pop(ref(obj), None)

    def take_over(self, obj: dict[str, Any], *path: str, value: Any) -> None:
        """Somebody else writes a field: its value and its ownership change."""
        obj["metadata"]["resourceVersion"] = self._next()
        node, owned = obj, [json.loads(text) for text in obj["owned"]["ours"]]
        fields: list[Any] = owned
        for key in path[:-1]:
            node = node[key]
            fields = [each[f"f:{key}"] for each in fields if f"f:{key}" in each]
        node[path[-1]] = value
        for each in fields:
            each.pop(f"f:{path[-1]}", None)
        obj["owned"] = {"ours": [json.dumps(each) for each in owned], "foreign": obj["owned"]["foreign"]}

    def add_beside(self, obj: dict[str, Any], manager: str = "kubectl-edit") -> None:
        """Somebody else adds a field of their own inside the spec."""
        obj["metadata"]["resourceVersion"] = self._next()
        obj["owned"] = {**obj["owned"], "foreign": [manager]}

    # what the operator sees and does

    def seen(self) -> SeenDeployment:
        def kind(name: str) -> tuple[dict[str, Any], ...]:
            return copy.deepcopy(self.of_kind(name))

        models = {each["metadata"]["name"]: copy.deepcopy(each) for each in self.of_kind("ModelVersion")}
        return SeenDeployment(
            custom_resource=copy.deepcopy(self.deployment),
            defaults=self.defaults,
            model_versions=models,
            replica_sets=kind("ReplicaSet"),
            revisions=kind("ControllerRevision"),
            config_maps=kind("ConfigMap"),
            services=kind("Service"),
            disruption_budgets=kind("PodDisruptionBudget"),
            network_policies=kind("NetworkPolicy"),
            secrets=kind("Secret"),
            pods=kind("Pod"),
            nodes=kind("Node"),
            answers=dict(self.answers),
            runtimes=dict(self.runtimes),
            conflicts=dict(self.conflicts),
        )

    def plan(self) -> Plan:
        return plan_deployment(self.seen(), self.now)

    def reconcile(self, *, crash_after: int | None = None) -> Plan:
        """One pass: plan, act, write the status. A crash leaves out the rest."""
        plan = self.plan()
        for count, action in enumerate(plan.actions):
            if count == crash_after:
                return plan
            self.carry_out(action)
        if plan.status is not None and crash_after is None:
            self.deployment = {**self.deployment, "status": copy.deepcopy(plan.status)}
        return plan

    def carry_out(self, action: Action) -> None:
        self.log.append(action)
        match action:
            case Create(manifest):
                assert ref(manifest) not in self.objects, f"{ref(manifest)} exists"
                self._write(manifest, None)
            case Apply(manifest, uid, _, version):
                live = self._guarded(ref(manifest), uid, version)
                self._write(manifest, live)
            case Replace(manifest, uid, version, _):
                live = self._guarded(ref(manifest), uid, version)
                live["owned"] = {**live["owned"], "foreign": []}
                self._write(manifest, live)
            case Delete(where, uid, version, _):
                self._guarded(where, uid, version)
                del self.objects[where]
            case Ask(subject):
                self.answers[subject] = self._answer(subject)
            case Inquire(pod, pod_uid):
                self.runtimes[pod_uid] = self._runtime(pod)
            case SetFinalizers():
                raise AssertionError("an LLMDeployment has no finalizers")

    def _guarded(self, where: Ref, uid: str, version: str | None) -> dict[str, Any]:
        live = self.objects[where]
        assert live["metadata"]["uid"] == uid
        assert version in (None, live["metadata"]["resourceVersion"])
        return live

    def _write(self, manifest: Any, live: dict[str, Any] | None) -> None:
        obj = copy.deepcopy(dict(manifest))
        before = live["metadata"] if live else {}
        obj["metadata"]["uid"] = before.get("uid") or f"uid-{self._next()}"
        obj["metadata"]["creationTimestamp"] = before.get("creationTimestamp") or self.now.strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )
        obj["metadata"]["resourceVersion"] = self._next()
        obj["owned"] = {"ours": [json.dumps(_fields(manifest))], "foreign": []}
        if live is not None:
            obj["owned"]["foreign"] = live["owned"]["foreign"]
            obj = {**obj, **({"status": live["status"]} if "status" in live else {})}
        if obj["kind"] == "Service":
            obj["spec"]["clusterIP"] = "10.96.0.7"
        self.objects[ref(obj)] = obj

    # what the rest of the cluster does

    def pods(self, rollout: str | None = None) -> tuple[dict[str, Any], ...]:
        return tuple(pod for pod in self.of_kind("Pod") if rollout in (None, labels(pod).get(naming.ROLLOUT)))

    def run_pods(self, *, ready: bool = True) -> None:
        """The ReplicaSet controller and the kubelet, at once: pods as many as wanted, ready or not."""
        sets = {labels(each)[naming.ROLLOUT]: each for each in self.of_kind("ReplicaSet")}
        for pod in self.pods():
            if labels(pod)[naming.ROLLOUT] not in sets:
                self.remove(pod)
        for rollout, replica_set in sets.items():
            wanted = replica_set["spec"]["replicas"]
            have = self.pods(rollout)
            for pod in have[wanted:]:
                self.remove(pod)
            for _ in range(wanted - len(have)):
                self._start_pod(rollout)
            for pod in self.pods(rollout):
                self.set_ready(pod, ready and self._version(rollout) not in self.broken)

    def _start_pod(self, rollout: str) -> None:
        name = f"pod-{self._next()}"
        owner = {naming.MANAGED_BY: naming.MANAGER, naming.DEPLOYMENT: self.deployment["metadata"]["name"]}
        meta = {"name": name, "namespace": "models", "labels": {**owner, naming.ROLLOUT: rollout}}
        self.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": {"podIP": "10.0.0.9"}})

    def set_ready(self, pod: dict[str, Any], ready: bool) -> None:
        condition = {"type": "Ready", "status": str(ready)}
        pod["status"] = {**pod["status"], "conditions": [condition]}

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    def settle(self, passes: int = 40) -> Plan:
        """Reconciles while pods run and time passes, until nothing is left to do."""
        for _ in range(passes):
            plan = self.reconcile()
            self.run_pods()
            self.pass_time(seconds=1.1)
            again = self.plan()
            if not plan.actions and not again.actions and again.requeue_after is None:
                if again.status == self.deployment.get("status"):
                    return again
        raise AssertionError(f"not settled: {plan.actions or again.actions}, {again.status}")

    def _version(self, rollout: str) -> str:
        for pointer in self.of_kind("ConfigMap"):
            if labels(pointer).get(naming.ROLLOUT) == rollout:
                return str(json.loads(pointer["data"]["pointer.json"])["version"])
        return ""

    def _answer(self, subject: str) -> Answer:
        rollout = subject.partition("/")[2]
        ready = [
            pod
            for pod in self.pods(rollout)
            if pod["status"].get("conditions", [{}])[0].get("status") == "True"
        ]
        if not ready:
            return Answer(self.now, None, "connection refused")
        return Answer(self.now, self._version(rollout))

    def _runtime(self, pod: str) -> RuntimeStatus:
        rollout = labels(self.one("Pod", pod))[naming.ROLLOUT]
        pointer = self.one("ConfigMap", naming.pointer_name(self.deployment["metadata"]["name"], rollout))
        found = json.loads(pointer["data"]["pointer.json"])["digest"]
        return RuntimeStatus(self.now, found, ready=True, in_flight=0)

    def _next(self) -> str:
        self._serial += 1
        return str(self._serial)


def _fields(value: Any) -> Any:
    """fieldsV1 of an apply: lists as one piece, for the lists of our children that matter here."""
    if isinstance(value, dict) and value:
        return {f"f:{key}": _fields(item) for key, item in value.items()}
    return {}


def model_users(name: str, *deployments: dict[str, Any]) -> tuple[str, ...]:
    return users(name, deployments)


__all__ = ["DESTRUCTIVE", "Cluster", "replace"]
