"""A cluster of plain data that plans are carried out on: enough of the API server and of kubelets for core.

It keeps what the API server would: uids, resourceVersions, who owns which field. Pods follow ReplicaSets.
Every object in it is frozen, and every write is checked against the invariants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.builders import DEFAULTS, NOW, READY, a_job_pod, a_pod, an_exit, tried_version
from tests.core import engines, invariants
from tests.core.engines import Engine, Verdict
from tests.core.fields import fields_of
from tests.core.frozen import frozen, thawed

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core import naming
from sluicegate.core.addresses import pod_url
from sluicegate.core.conditions import timestamp
from sluicegate.core.intent import IMMUTABLE, owns_annotation
from sluicegate.core.jobs import is_over
from sluicegate.core.objects import Ref, annotation, controller_uid, is_true, labels, ref, terminating, uid
from sluicegate.core.observed import Answer, Defaults, Reply, RuntimeStatus, Scores, SeenDeployment
from sluicegate.core.plan import (
    Action,
    Apply,
    Ask,
    CancelReload,
    Consult,
    Create,
    Delete,
    Inquire,
    Plan,
    Reload,
    Replace,
    Score,
    SetFinalizers,
)
from sluicegate.core.planner import plan_deployment
from sluicegate.core.problem import Problem, name_taken, write_refused
from sluicegate.core.template import SERVING_PORT

Object = dict[str, Any]

LIKELY = -0.5
"""Log-probability of every token, in nats."""


class Met(Exception):  # noqa: N818
    """A write met an obstacle."""

    def __init__(self, obstacle: Problem) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle


class Cluster:
    """One LLMDeployment and everything around it."""

    def __init__(self, deployment: Object, *others: Object, defaults: Defaults = DEFAULTS) -> None:
        self.now: datetime = NOW
        self.defaults = defaults
        self.deployment = frozen(deployment)
        self.objects: dict[Ref, Object] = {}
        self.answers: dict[str, Answer] = {}
        self.scores: dict[str, Scores] = {}
        self.runtimes: dict[str, RuntimeStatus] = {}
        self.foreign: dict[Ref, str] = {}  # who holds a name
        self.refused: dict[str, str] = {}  # kind -> why the API server refuses its writes
        self.trouble: dict[str, Mapping[str, Any]] = {}  # version -> status of its pods instead of ready
        self.lies: dict[str, str] = {}  # version -> what its answers name, or "!what went wrong"
        self.other_files: dict[str, str] = {}  # version -> digest that its pods serve
        # version -> log-probability of the last token of each golden prompt, a refusal or "!what went wrong"
        self.unlikely: dict[str, float | str | None] = {}
        self.vllm: tuple[str | None, ...] = ("0.32.0",)  # of one pod after another
        self.measured: dict[str, Mapping[str, Any]] = {}  # version -> what each of its pods measured
        # version -> exit code of its verification Job, status of its pod that keeps it from ending, or both
        self.trials: dict[str, int | Mapping[str, Any]] = {}
        self.last_words = ""  # of such a Job
        # version -> status and text with which its webhook answers, or "!what went wrong"
        self.webhook: dict[str, tuple[int, str] | str] = {}
        self.replies: dict[str, Reply] = {}
        self.engines: dict[str, Engine] = {}  # by pod uid
        self.ends: dict[str, Verdict] = {}  # version -> how pods end a change to it
        self.stuck = False  # whether pods never come to an end of what they were told
        self.fixed = False  # whether the runtimes are too old to change what they serve
        self.log: list[Action] = []
        self._serial = 1
        for other in others:
            self.put(other)

    def fork(self) -> Cluster:
        """The same cluster, to go another way from here."""
        other = object.__new__(Cluster)
        other.__dict__ = {
            key: value.copy() if isinstance(value, dict | list) and key != "deployment" else value
            for key, value in self.__dict__.items()
        }
        return other

    # what tests do to it

    def put(self, obj: Object) -> None:
        stored = thawed(obj)
        stored["metadata"].setdefault("uid", f"uid-{self._next()}")
        stored["metadata"]["resourceVersion"] = self._next()
        self.objects[ref(stored)] = frozen(stored)

    def change(self, obj: Object, how: Callable[[Object], None]) -> None:
        """Somebody writes the object; who owns what stays."""
        copy = thawed(self.objects[ref(obj)])
        how(copy)
        self.put(copy)

    def remove(self, obj: Object) -> None:
        self.objects.pop(ref(obj), None)

    def remove_pods(self, rollout: str | None = None) -> None:
        """Those of one rollout, or all."""
        for pod in self.pods(rollout):
            self.remove(pod)

    def take_over(self, obj: Object, *path: str, value: Any) -> None:
        """Somebody else writes a field: its value and its ownership change."""

        def how(copy: Object) -> None:
            node, owned = copy, [json.loads(text) for text in copy["owned"]["ours"]]
            fields: list[Any] = owned
            for key in path[:-1]:
                node = node.setdefault(key, {})
                fields = [each[f"f:{key}"] for each in fields if f"f:{key}" in each]
            node[path[-1]] = value
            for each in fields:
                each.pop(f"f:{path[-1]}", None)
                each["."] = {}
            copy["owned"]["ours"] = [json.dumps(each) for each in owned]

        self.change(obj, how)

    def add_beside(self, obj: Object, manager: str = "kubectl-edit") -> None:
        """Somebody else adds a field of their own inside the spec."""
        self.change(obj, lambda copy: copy["owned"].update(foreign=[manager]))

    def edit(self, **spec: Any) -> None:
        """Somebody changes fields of the spec. For how long is observed stays unless it is named."""
        deployment = thawed(self.deployment)
        old = deployment["spec"]
        if "rollout" in spec:
            kept = {key: old["rollout"][key] for key in ("observeSeconds",) if key in old.get("rollout", {})}
            spec = {**spec, "rollout": {**kept, **spec["rollout"]}}
        deployment["spec"] = {**old, **spec}
        deployment["metadata"]["generation"] += 1
        self.deployment = frozen(deployment)

    def annotate(self, **annotations: str) -> None:
        """Somebody annotates the LLMDeployment, under sluicegate.dev; its generation stays."""
        meta = self.deployment["metadata"]
        ours = {f"sluicegate.dev/{key}": value for key, value in annotations.items()}
        merged = {**meta, "annotations": {**meta.get("annotations", {}), **ours}}
        self.deployment = frozen({**self.deployment, "metadata": merged})

    def delete(self) -> None:
        """Somebody deletes the LLMDeployment; something keeps it for a while."""
        meta = {**self.deployment["metadata"], "deletionTimestamp": timestamp(self.now)}
        self.deployment = frozen({**self.deployment, "metadata": meta})

    @property
    def leaving(self) -> bool:
        return "deletionTimestamp" in self.deployment["metadata"]

    def set_status(self, status: Any) -> None:
        rest = {key: value for key, value in self.deployment.items() if key != "status"}
        self.deployment = frozen(rest if status is None else {**rest, "status": status})

    def wipe_status(self) -> None:
        self.set_status(None)

    def forget_the_past(self) -> None:
        """The records of rollouts whose pods are gone are lost."""
        lasting = {each["metadata"]["name"] for each in self.of_kind("ReplicaSet")}
        for record in self.of_kind("ControllerRevision"):
            if record["metadata"]["name"] not in lasting:
                self.remove(record)

    def restart_operator(self) -> None:
        """What the operator only remembered is gone."""
        self.answers.clear()
        self.scores.clear()
        self.replies.clear()
        self.runtimes.clear()

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    # what tests look at

    def of_kind(self, kind: str) -> tuple[Object, ...]:
        return tuple(obj for where, obj in self.objects.items() if where.kind == kind)

    def find(self, kind: str, name: str) -> Object | None:
        return next((obj for obj in self.of_kind(kind) if obj["metadata"]["name"] == name), None)

    def one(self, kind: str, name: str) -> Object:
        found = self.find(kind, name)
        assert found is not None, f"no {kind} {name}"
        return found

    @property
    def name(self) -> str:
        return str(self.deployment["metadata"]["name"])

    @property
    def service(self) -> Object:
        return self.one("Service", self.name)

    @property
    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.deployment["status"]
        return found

    def condition(self, kind: str) -> Mapping[str, Any]:
        """The condition as last reported, or an empty mapping."""
        return next((each for each in self.status["conditions"] if each["type"] == kind), {})

    def pods(self, rollout: str | None = None) -> tuple[Object, ...]:
        """Model pods."""
        models = (pod for pod in self.of_kind("Pod") if naming.VERIFIES not in labels(pod))
        return tuple(pod for pod in models if rollout in (None, labels(pod).get(naming.ROLLOUT)))

    def version_of(self, rollout: str) -> str:
        record = self.find("ControllerRevision", naming.colour_name(self.name, rollout))
        if record:
            told = annotation(record, naming.RELOADED)
            pointer = json.loads(told)["pointer"] if told else record["data"]["pointer"]
            return str(pointer["version"])
        pointer = self.find("ConfigMap", naming.pointer_name(self.name, rollout))
        return str(json.loads(pointer["data"]["pointer.json"])["version"]) if pointer else ""

    def rollout_of(self, version: str) -> str:
        """The newest colour of a version."""
        ids = [labels(each)[naming.ROLLOUT] for each in self.of_kind("ReplicaSet")]
        return [each for each in ids if self.version_of(each) == version][-1]

    def versions(self) -> list[str]:
        """The versions that have a ReplicaSet, oldest first."""
        return [self.version_of(labels(each)[naming.ROLLOUT]) for each in self.of_kind("ReplicaSet")]

    def answering(self) -> set[str]:
        """The versions of the ready pods that the Service selects."""
        pods = invariants.selected(self.service, self.pods())
        return {self.served(pod) for pod in pods if is_true(pod, "Ready")}

    def served(self, pod: Object) -> str:
        """The version that a pod serves, or will once it runs."""
        return self.engine(pod).version

    def engine(self, pod: Object) -> Engine:
        """What runs in a pod, now; one that does not run yet starts with its pointer."""
        uid, rollout = pod["metadata"]["uid"], labels(pod)[naming.ROLLOUT]
        found = self.engines.get(uid) or Engine(self._pointer(rollout))
        stage = float("inf") if self.stuck else 1.0
        pace = engines.Pace(stage, 0.5, lambda body: self.ends.get(body["version"]))
        self.engines[uid] = engines.went_on(found, pace, self._seconds())
        return self.engines[uid]

    def _seconds(self) -> float:
        return (self.now - NOW).total_seconds()

    def _pointer(self, rollout: str) -> Mapping[str, Any]:
        found = self.find("ConfigMap", naming.pointer_name(self.name, rollout))
        if found:
            return dict(json.loads(found["data"]["pointer.json"]))
        record = self.find("ControllerRevision", naming.colour_name(self.name, rollout))
        return dict(record["data"]["pointer"]) if record else {"version": "", "digest": ""}

    def restart(self, pod: Object) -> None:
        """Its container ends, and starts with what is newer: its pointer, or what it changed to."""
        uid, rollout = pod["metadata"]["uid"], labels(pod)[naming.ROLLOUT]
        self.engines[uid] = engines.started(self._pointer(rollout), self.engine(pod))

    def shape(self) -> Any:
        """What there is, without names, uids and times: equal for worlds that are equally good."""
        sets = sorted(
            (self.version_of(labels(each)[naming.ROLLOUT]), each["spec"]["replicas"])
            for each in self.of_kind("ReplicaSet")
        )
        kinds = sorted(where.kind for where in self.objects)
        conditions = [(each["type"], each["status"], each["reason"]) for each in self.status["conditions"]]
        return sets, kinds, sorted(self.answering()), conditions, self.status["phase"]

    # what the operator sees and does

    def seen(self) -> SeenDeployment:
        models = {each["metadata"]["name"]: each for each in self.of_kind("ModelVersion")}
        return SeenDeployment(
            custom_resource=self.deployment,
            defaults=self.defaults,
            model_versions=models,
            replica_sets=self.of_kind("ReplicaSet"),
            revisions=self.of_kind("ControllerRevision"),
            config_maps=self.of_kind("ConfigMap"),
            services=self.of_kind("Service"),
            disruption_budgets=self.of_kind("PodDisruptionBudget"),
            network_policies=self.of_kind("NetworkPolicy"),
            secrets=self.of_kind("Secret"),
            jobs=self.of_kind("Job"),
            pods=self.of_kind("Pod"),
            nodes=self.of_kind("Node"),
            answers=dict(self.answers),
            scores=dict(self.scores),
            replies=dict(self.replies),
            runtimes=dict(self.runtimes),
        )

    def plan(self) -> Plan:
        plan = plan_deployment(self.seen(), self.now)
        invariants.check_plan(plan)
        return plan

    def reconcile(self, *, crash_after: int | None = None) -> Plan:
        """One pass: plan, act, write the status. A crash leaves out the rest."""
        plan = self.plan()
        for count, action in enumerate(plan.actions):
            if count == crash_after:
                return plan
            try:
                self.carry_out(action)
            except Met as met:
                plan = plan_deployment(replace(self.seen(), obstacle=met.obstacle), self.now)
                plan = replace(plan, actions=(), requeue_after=None)
                invariants.check_plan(plan)
                break
        if plan.status is not None and crash_after is None:
            self.set_status(plan.status)
        return plan

    def carry_out(self, action: Action) -> None:
        before = self._lasting()
        self.log.append(action)
        match action:
            case Create(manifest) | Apply(manifest) | Replace(manifest) if manifest["kind"] in self.refused:
                raise Met(write_refused(ref(manifest), self.refused[manifest["kind"]]))
            case Create(manifest) if ref(manifest) in self.foreign:
                raise Met(name_taken(ref(manifest), self.foreign[ref(manifest)]))
            case Create(manifest):
                assert ref(manifest) not in self.objects, f"{ref(manifest)} exists"
                self._write(manifest, None, foreign=[])
            case Apply(manifest, uid, version, _):
                live = self._guarded(ref(manifest), uid, version)
                self._check_moved(live, manifest)
                self._check_promoted(live, manifest)
                self._write(manifest, live, foreign=live["owned"]["foreign"])
            case Replace(manifest, uid, version, _):
                self._write(manifest, self._guarded(ref(manifest), uid, version), foreign=[])
            case Delete(where, uid, version, _):
                self._guarded(where, uid, version)
                records = {each["metadata"]["name"]: each for each in self.of_kind("ControllerRevision")}
                invariants.check_way_back(where, self.find("Service", self.name), records)
                del self.objects[where]
            case Ask(subject):
                self.answers[subject] = self._answer(subject)
            case Score():
                self.scores[action.subject] = self._score(action)
            case Consult():
                self.replies[action.subject] = self._reply(action)
            case Inquire() | Reload() | CancelReload():
                self.runtimes[action.pod_uid] = self._controlled(action)
            case SetFinalizers():
                raise AssertionError("an LLMDeployment has no finalizers")
        wanted = self.deployment["spec"].get("replicas", 1)
        swapping = any(map(self._swaps, self.of_kind("ReplicaSet")))
        assert not before or self._lasting() or not wanted or swapping, (
            f"{_short(action)} leaves nobody to answer"
        )
        assert len(self.of_kind("ReplicaSet")) <= 2, f"{_short(action)} makes a third colour"

    def _check_moved(self, live: Object, written: Mapping[str, Any]) -> None:
        """A Service left alone leaves a promoted colour in no pause, and by a person's word if need be."""
        before, after = annotation(live, naming.EXPOSES), annotation(written, naming.EXPOSES)
        left_alone = owns_annotation(live, naming.EXPOSES) and self.version_of(before or "")
        if (
            live["kind"] != "Service"
            or before == after
            or not left_alone
            or not self._is_promoted(before or "")
        ):
            return
        spec = self.deployment["spec"]
        swapping = invariants.swaps(
            self.find("ControllerRevision", naming.colour_name(self.name, after or ""))
        )
        assert not spec.get("paused") or swapping, f"the Service leaves {before} in a pause"
        word = annotation(self.deployment, naming.PROMOTE)
        manual = spec.get("rollout", {}).get("promotion") == "Manual"
        allowed = word != before and after in (word, word and naming.EVERY_ROLLOUT)
        assert allowed or swapping or not manual, f"{after} serves though {word} is promoted"

    def _check_promoted(self, live: Object, written: Mapping[str, Any]) -> None:
        says = annotation(written, naming.OUTCOME) or ""
        service = self.find("Service", self.name)
        new = live["kind"] == "ControllerRevision" and annotation(live, naming.OUTCOME) is None
        if not new or Outcome.PROMOTED not in says or service is None:
            return
        lasting = {each["metadata"]["name"] for each in self.of_kind("ReplicaSet")} - {
            live["metadata"]["name"]
        }
        others = [each for each in self.of_kind("ControllerRevision") if each["metadata"]["name"] in lasting]
        invariants.check_promotion(live, self.deployment["spec"], service, others, self.now)

    def _swaps(self, replica_set: Object) -> bool:
        return invariants.swaps(self.find("ControllerRevision", replica_set["metadata"]["name"]))

    def _is_promoted(self, rollout: str) -> bool:
        record = self.find("ControllerRevision", naming.colour_name(self.name, rollout))
        return invariants.outcome(record) == Outcome.PROMOTED

    def _lasting(self) -> int:
        service = self.find("Service", self.name)
        intact = service is not None and self._says_what_it_does(service)
        return invariants.lasting(service if intact else None, self.pods(), self.of_kind("ReplicaSet"))

    def _says_what_it_does(self, service: Object) -> bool:
        """Whether nobody edited the selector since we wrote it."""
        chosen = service["spec"]["selector"].get(naming.ROLLOUT, naming.EVERY_ROLLOUT)
        return bool(chosen == annotation(service, naming.EXPOSES))

    def _guarded(self, where: Ref, uid: str, version: str | None) -> Object:
        live = self.objects[where]
        assert live["metadata"]["uid"] == uid
        assert version in (None, live["metadata"]["resourceVersion"])
        return live

    def _write(self, manifest: Mapping[str, Any], live: Object | None, foreign: list[str]) -> None:
        before = live["metadata"] if live else {}
        if live and live["kind"] in IMMUTABLE:
            assert frozen(manifest["data"]) == live["data"], f"{ref(live)} cannot be changed"
        metadata = {
            **manifest["metadata"],
            "uid": before.get("uid") or f"uid-{self._next()}",
            "creationTimestamp": before.get("creationTimestamp") or timestamp(self.now),
            "resourceVersion": self._next(),
        }
        owned = {"ours": [json.dumps(fields_of(manifest))], "foreign": foreign}
        obj = {**manifest, "metadata": metadata, "owned": owned}
        if live is not None and "status" in live:
            obj["status"] = live["status"]
        if obj["kind"] == "Service":
            obj["spec"] = {**obj["spec"], "clusterIP": "10.96.0.7"}
        self.objects[ref(obj)] = frozen(obj)

    # what the rest of the cluster does

    def run_pods(self) -> None:
        """ReplicaSet controller and kubelets: pods as many as wanted, ready unless there is trouble.

        Those that nothing wants any more drain until the next time.
        """
        sets = {
            labels(each)[naming.ROLLOUT]: each
            for each in self.of_kind("ReplicaSet")
            if naming.ROLLOUT in labels(each)
        }
        for pod in self.pods():
            if terminating(pod):
                self.remove(pod)
            elif labels(pod)[naming.ROLLOUT] not in sets:
                self._end(pod)
        for rollout, replica_set in sets.items():
            wanted = replica_set["spec"]["replicas"]
            have = [pod for pod in self.pods(rollout) if not terminating(pod)]
            for pod in have[wanted:]:
                self._end(pod)
            if not is_true(replica_set, "ReplicaFailure"):
                for _ in range(wanted - len(have)):
                    self.put(a_pod(f"pod-{self._next()}", self.name, rollout))
            for pod in self.pods(rollout):
                state = self.trouble.get(self.served(pod), READY)
                status = _addressed(pod, state)
                if not terminating(pod) and pod["status"] != status:
                    if state == READY:
                        self.restart(pod)
                    self.set_pod(pod, status)

    def run_jobs(self) -> None:
        """The Job controller: a pod for each Job, which ends the next time unless something keeps it."""
        jobs = {each["metadata"]["uid"]: each for each in self.of_kind("Job")}
        pods = {controller_uid(pod): pod for pod in self.of_kind("Pod") if controller_uid(pod)}
        for owner in pods.keys() - jobs.keys():
            self.remove(pods[owner])
        for owner, job in jobs.items():
            if is_over(job):
                continue
            if owner not in pods:
                self.put(a_job_pod(f"pod-{self._next()}", job))
                continue
            found = self.trials.get(tried_version(job), 0)
            until = datetime.fromisoformat(job["metadata"]["creationTimestamp"]) + timedelta(
                seconds=job["spec"]["activeDeadlineSeconds"]
            )
            if isinstance(found, int):
                self.end_job(job, pods[owner], found)
            elif self.now >= until:
                self.remove(pods[owner])
                self.conclude(
                    job, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
                )
            elif pods[owner]["status"] != found:
                self.set_pod(pods[owner], found)

    def end_job(self, job: Object, pod: Object, code: int) -> None:
        self.set_pod(pod, an_exit(code, self.last_words))
        reason = "BackoffLimitExceeded" if code else "CompletionsReached"
        self.conclude(job, "Failed" if code else "Complete", reason, "it has ended")

    def conclude(self, job: Object, kind: str, reason: str, message: str) -> None:
        told = {"type": kind, "status": "True", "reason": reason, "message": message}
        self.change(job, lambda copy: copy.update(status={"conditions": [told]}))

    def _end(self, pod: Object) -> None:
        self.change(pod, lambda copy: copy["metadata"].update(deletionTimestamp=timestamp(self.now)))

    def set_pod(self, pod: Object, status: Mapping[str, Any]) -> None:
        self.change(pod, lambda copy: copy.update(status=_addressed(pod, status)))

    def refuse_pods(self, replica_set: Object, message: str) -> None:
        failure = {"type": "ReplicaFailure", "status": "True", "message": message}
        self.change(replica_set, lambda copy: copy.update(status={"conditions": [failure]}))

    def turn(self) -> Plan:
        """One pass, and what the cluster does in the second after it."""
        plan = self.reconcile()
        self.run_pods()
        self.run_jobs()
        self.pass_time(seconds=1.1)
        return plan

    def settle(self, passes: int = 40) -> Plan:
        """Reconciles while pods run and time passes, until nothing is left to do."""
        for _ in range(passes):
            plan = self.turn()
            again = self.plan()
            if not plan.actions and self.is_settled(again):
                return again
        raise AssertionError(
            f"not settled: {[_short(each) for each in plan.actions or again.actions]}, {again.status}"
        )

    def is_settled(self, plan: Plan) -> bool:
        """Nothing to do, nothing to wait for that comes by time soon, and the status says so."""
        waiting = plan.requeue_after is not None and plan.requeue_after < timedelta(seconds=30)
        draining = any(terminating(pod) for pod in self.pods())
        quiet = not plan.actions and not plan.events and not waiting and not draining
        return quiet and frozen(plan.status) == self.deployment.get("status")

    def _answer(self, subject: str) -> Answer:
        where, _, rest = subject.partition("/")
        service = self.one("Service", self.name if where == "service" else naming.preview_name(self.name))
        if where == "canary":
            asked = [pod for pod in self.pods() if pod["metadata"]["uid"] == rest.partition("/")[2]]
        else:
            asked = invariants.selected(service, self.pods())
        return self._said_by(asked)

    def _said_by(self, asked: list[Object]) -> Answer:
        ready = [pod for pod in asked if is_true(pod, "Ready")]
        if not ready:
            return Answer(self.now, None, "the connection was refused or could not be made")
        version = self.served(ready[0])
        said = self.lies.get(version, version)
        return Answer(self.now, None, said[1:]) if said.startswith("!") else Answer(self.now, said)

    def _score(self, score: Score) -> Scores:
        """Each token as likely as everywhere in this cluster, but of the versions that find it otherwise."""
        pods = [pod for pod in self.pods() if pod_url(pod, SERVING_PORT) == score.url]
        answer = self._said_by(pods) if pods else self._answer("preview")
        said = self.unlikely.get(answer.version or "", LIKELY)
        if isinstance(said, str):
            refused = None if said.startswith("!") else said
            error = answer.error or (said[1:] if said.startswith("!") else None)
            return Scores(self.now, answer.version, error=error, refusal=refused)
        found = {text.name: (LIKELY,) * (len(text.tokens) - 1) + (said,) for text in score.texts}
        return Scores(self.now, answer.version, found, answer.error)

    def _reply(self, consult: Consult) -> Reply:
        said = self.webhook.get(consult.question["version"], (200, ""))
        return Reply(self.now, None, error=said[1:]) if isinstance(said, str) else Reply(self.now, *said)

    def _runtime(self, pod: str) -> RuntimeStatus:
        found = self.engine(self.one("Pod", pod))
        digest = self.other_files.get(found.version, found.pointer["digest"])
        vllm = self.vllm[len(self.runtimes) % len(self.vllm)]
        known = {*found.served, found.version} & self.measured.keys()
        return RuntimeStatus(
            self.now,
            digest,
            ready=True,
            in_flight=0,
            vllm=vllm,
            measured={version: self.measured[version] for version in known},
            version=found.version,
            sequence=None if self.fixed else found.sequence,
            reload=found.told(),
        )

    def _controlled(self, action: Inquire | Reload | CancelReload) -> RuntimeStatus:
        if isinstance(action, Reload):
            return self._reload(action)
        if isinstance(action, CancelReload):
            self.engines[action.pod_uid] = engines.cancelled(self.engine(self.one("Pod", action.pod)))
        return self._runtime(action.pod)

    def _reload(self, order: Reload) -> RuntimeStatus:
        pod = self.one("Pod", order.pod)
        found = engines.ordered(self.engine(pod), order.body, self._seconds())
        if self.fixed or isinstance(found, str):
            words = "HTTP 404 Not Found" if self.fixed else str(found)
            return RuntimeStatus(self.now, None, ready=False, in_flight=0, error=words)
        self._check_switch(order)
        self.engines[order.pod_uid] = found
        return self._runtime(order.pod)

    def _check_switch(self, order: Reload) -> None:
        """One pod after another. Those that are going serve nobody and do not count."""
        if order.body["mode"] != "Switch":
            return
        staying = [pod for pod in self.pods() if not terminating(pod)]
        others = [self.engine(pod) for pod in staying if pod["metadata"]["uid"] != order.pod_uid]
        at_it = [each for each in others if each.order and each.order.body["mode"] == "Switch"]
        busy = [each for each in at_it if each.order and each.order.outcome is None]
        assert not busy, f"{order.pod} changes while another one does"

    def _next(self) -> str:
        self._serial += 1
        return str(self._serial)


def _addressed(pod: Object, status: Mapping[str, Any]) -> dict[str, Any]:
    """The status, with an address of the pod's own where it has the one that all builders give."""
    number = int(uid(pod).rpartition("-")[2])
    own = f"10.0.{number // 256}.{number % 256}"
    return {**status, "podIP": own} if status.get("podIP") == READY["podIP"] else dict(status)


def _short(action: Action) -> str:
    match action:
        case Create(manifest) | Apply(manifest) | Replace(manifest):
            return f"{type(action).__name__} {ref(manifest)}"
        case Delete(where):
            return f"Delete {where}"
    return type(action).__name__
