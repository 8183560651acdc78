"""Random specs, worlds and damage, the same for the same seed."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from tests.builders import (
    RUNNING,
    STARTING,
    ADeployment,
    a_golden_prompt,
    a_model_version,
    a_node,
    ended,
    unschedulable,
    waiting,
    with_golden_prompts,
)
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.measured import measured

from sluicegate.api.crdgen import crds
from sluicegate.core import naming
from sluicegate.core.objects import Ref

VERSIONS = ("v1", "v2", "v3")

# What a bounded string with a pattern may be, by the field's name.
STRINGS: dict[str, tuple[str, ...]] = {
    "modelVersion": (*VERSIONS, *VERSIONS, *VERSIONS, "missing", "raw", "leaving"),
    "draftModelVersion": ("v1", "v2", "raw"),
    "servedModelName": ("org/chat", "chat"),
    "resource": ("nvidia.com/gpu", "example.org/npu"),
    "cpu": ("4", "500m"),
    "memory": ("16Gi", "2G"),
    "image": ("registry.test/engine:2",),
    "extraArgs": ("--enforce-eager", "--seed=7"),
    "imagePullSecrets": ("registry", "mirror"),
    "serviceAccountName": ("runner",),
    "priorityClassName": ("high",),
    "skipReason": ("a fire",),
    "command": ("pytest",),
    "args": ("-q",),
    "name": ("LEVEL", "HOME"),
    "url": ("https://gate.test/",),
    "key": ("gpu",),
    "topologyKey": ("zone",),
    "value": ("yes",),
    "endpoint": ("http://collector:4318",),
}
SCHEMA = next(
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for crd in crds()
    if crd["spec"]["names"]["kind"] == "LLMDeployment"
)


def a_spec(choose: random.Random) -> dict[str, Any]:
    """A spec from the CRD's own schema; most are legal, and most name a version that can serve."""
    spec: dict[str, Any] = _value(choose, "spec", SCHEMA)
    spec["replicas"] = choose.choice((0, 1, 1, 2, 3))
    spec.setdefault("rollout", {}).setdefault("observeSeconds", choose.choice((0, 0, 3, 60)))
    engine = spec.setdefault("engine", {})
    if choose.random() < 0.8:
        engine["device"] = "CPU"
    if choose.random() < 0.9:
        for risky in ("extraArgs", "quantization", "kvCache", "parallelism", "maxModelLength", "speculative"):
            engine.pop(risky, None)
        spec.pop("resources", None)
    return spec


def _value(choose: random.Random, name: str, schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return choose.choice(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return choose.random() < 0.5
        case "integer":
            low = schema.get("minimum", 0)
            return choose.randint(low, min(schema.get("maximum", low + 100), low + 8))
        case "array":
            items = [_value(choose, name, schema["items"]) for _ in range(2)]
            return list(dict.fromkeys(items)) if schema["items"]["type"] == "string" else items
        case "object" if "additionalProperties" in schema:
            return {"team": "search"}
        case "object":
            wanted = schema.get("required", ())
            return {
                field: _value(choose, field, inner)
                for field, inner in schema["properties"].items()
                if field in wanted or choose.random() < 0.12
            }
    return choose.choice(STRINGS[name])


def a_world(choose: random.Random) -> Cluster:
    """A deployment that nothing was done for yet, among models and nodes."""
    leaving = a_model_version("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    nodes = [a_node(f"node{n}", nvidia_com__gpu=choose.choice(("0", "1", "2"))) for n in range(2)]
    models = [a_model_version(name) for name in VERSIONS]
    raw = a_model_version("raw", ready=False)
    return Cluster(ADeployment(spec=a_spec(choose)).build(), *models, raw, leaving, *nodes)


TROUBLES = (
    STARTING,
    STARTING,
    unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
    waiting("ErrImagePull", "manifest unknown"),
    waiting("CreateContainerConfigError", "secret not found"),
    ended('{"error": {"reason": "DigestMismatch", "message": "x"}}', container="store", restarts=2),
    ended("CUDA error", restarts=2),
    ended("CUDA error"),
    ended(exit_code=137, reason="OOMKilled", restarts=1),
)
CHILDREN = (
    "Service",
    "Secret",
    "ConfigMap",
    "ReplicaSet",
    "ControllerRevision",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Job",
)


def spec_changes(cluster: Cluster, choose: random.Random) -> None:
    cluster.edit(**a_spec(choose))


def version_changes(cluster: Cluster, choose: random.Random) -> None:
    cluster.edit(modelVersion=choose.choice(VERSIONS))


def somebody_is_asked_first(cluster: Cluster, choose: random.Random) -> None:
    manual, paused = {"rollout": {"promotion": "Manual"}}, {"paused": True}
    hold = choose.choice((manual, manual, manual, paused, {**manual, **paused}, {}))
    cluster.edit(**{"rollout": {}, "paused": False, **hold}, modelVersion=choose.choice(VERSIONS))


def somebody_promotes(cluster: Cluster, choose: random.Random) -> None:
    """What waits for it, or by mistake something else."""
    known = [each["metadata"]["labels"][naming.ROLLOUT] for each in cluster.of_kind("ControllerRevision")]
    cluster.annotate(promote=choose.choice([*known, "0badc0de"]))


def scale_changes(cluster: Cluster, choose: random.Random) -> None:
    cluster.edit(replicas=choose.choice((0, 1, 2, 3)))


def spec_becomes_invalid(cluster: Cluster, choose: random.Random) -> None:
    cluster.edit(replicas=choose.choice((-1, 5000)))


def the_engine_is_asked_too_much(cluster: Cluster, choose: random.Random) -> None:
    cannot = {"device": "CPU", "quantization": "FP8"}
    huge = {"parallelism": {"tensor": 4}}
    cluster.edit(engine=choose.choice((cannot, huge, huge)))


def pods_get_into_trouble(cluster: Cluster, choose: random.Random) -> None:
    wanted = cluster.deployment["spec"]["modelVersion"]
    version = choose.choice((wanted, wanted, choose.choice(VERSIONS)))
    cluster.trouble[version] = choose.choice(TROUBLES)
    for pod in cluster.pods():
        if cluster.version_of(pod["metadata"]["labels"][naming.ROLLOUT]) == version:
            cluster.set_pod(pod, cluster.trouble[version])


def pods_are_refused(cluster: Cluster, choose: random.Random) -> None:
    for replica_set in cluster.of_kind("ReplicaSet"):
        cluster.refuse_pods(replica_set, "exceeded quota")
    for pod in cluster.pods():
        if choose.random() < 0.8:
            cluster.remove(pod)


def pods_die(cluster: Cluster, choose: random.Random) -> None:
    for pod in cluster.pods():
        if choose.random() < 0.7:
            cluster.remove(pod)


def a_rollout_is_aborted(cluster: Cluster, choose: random.Random) -> None:
    cluster.edit(modelVersion=choose.choice(VERSIONS))
    for _ in range(choose.choice((1, 2))):
        cluster.reconcile()
    under_way = (cluster.deployment.get("status") or {}).get("rollout")
    if under_way:
        cluster.annotate(abort=under_way["id"])


def what_failed_is_tried_again(cluster: Cluster, choose: random.Random) -> None:
    for over in (cluster.deployment.get("status") or {}).get("history", ())[:1]:
        cluster.annotate(retry=over["id"])


def pods_lie(cluster: Cluster, choose: random.Random) -> None:
    version = choose.choice(VERSIONS)
    if choose.random() < 0.5:
        cluster.lies[version] = choose.choice(("!HTTP 500", "v9"))
    else:
        cluster.other_files[version] = "sha256:" + "f" * 64
    cluster.edit(modelVersion=version)


def what_is_said_is_compared(cluster: Cluster, choose: random.Random) -> None:
    """It is as it was recorded, or is not, or there is no telling, or nothing to compare it with."""
    version = choose.choice(VERSIONS)
    policy = choose.choice(({}, {"policy": "Required"}, {"policy": "Required"}))
    cluster.edit(
        modelVersion=version,
        replicas=choose.choice((1, 2)),
        engine={"device": "CPU"},
        paused=False,
        rollout={"verification": {"goldenPrompts": policy}},
    )
    model = a_model_version(version)
    cluster.put(choose.choice((model, *[with_golden_prompts(model, a_golden_prompt())] * 3)))
    cluster.unlikely[version] = choose.choice((-0.5, -9.0, -9.0, "not in the vocabulary", *["!HTTP 500"] * 3))


def a_job_tries_it(cluster: Cluster, choose: random.Random) -> None:
    """It passes, or fails, or takes its time, or cannot start."""
    version = choose.choice(VERSIONS)
    job = {"image": "tests:1", **choose.choice(({}, {}, {"timeoutSeconds": 5}, {"skipReason": "a fire"}))}
    cluster.edit(
        modelVersion=version,
        replicas=choose.choice((1, 2)),
        engine={"device": "CPU"},
        paused=False,
        rollout={"verification": {"job": job}},
    )
    no_image = {**waiting("ErrImagePull", "manifest unknown", container="job"), "phase": "Pending"}
    cluster.trials[version] = choose.choice((0, 1, RUNNING, RUNNING, RUNNING, no_image))


def a_webhook_is_asked(cluster: Cluster, choose: random.Random) -> None:
    """It agrees, or refuses, or does not answer."""
    version = choose.choice(VERSIONS)
    cluster.edit(
        modelVersion=version,
        replicas=choose.choice((1, 2)),
        engine={"device": "CPU"},
        paused=False,
        rollout={"verification": {"webhook": {"url": "https://gate.test/"}}},
    )
    cluster.webhook[version] = choose.choice(((204, ""), *[(403, "no")] * 3, (503, ""), "!no answer"))


def what_takes_over_is_observed(cluster: Cluster, choose: random.Random) -> None:
    """It does well, or is worse in one way or another, or somebody loses patience with it."""
    version = choose.choice(VERSIONS)
    cluster.edit(modelVersion=version, replicas=choose.choice((1, 2)), engine={"device": "CPU"}, paused=False)
    cluster.edit(rollout={"observeSeconds": choose.choice((3, 20, 60))})
    for _ in range(choose.choice((0, 5, 8))):
        cluster.turn()
    cluster.measured = {each: measured() for each in VERSIONS if each != version}
    cluster.measured[version] = choose.choice((measured(), measured(800, error=200), {"outcomes": 7}))
    under_way = (cluster.deployment.get("status") or {}).get("rollout")
    if under_way and choose.random() < 0.2:
        cluster.annotate(abort=under_way["id"])


def there_is_no_room_for_two(cluster: Cluster, choose: random.Random) -> None:
    """What comes takes the place of what serves, at once or after a while, or waits for room."""
    version = choose.choice(VERSIONS)
    swap = {"strategy": "Swap", "capacity": "Surge"}
    later = {"strategy": "BlueGreen", "capacity": choose.choice(("SurgeThenSwap", "Wait"))}
    policy = choose.choice((swap, swap, later))
    device = choose.choice(("CPU", "CUDA"))
    cluster.edit(
        modelVersion=version,
        replicas=choose.choice((1, 2)),
        engine={"device": device},
        paused=False,
        rollout=policy,
    )
    if policy is later:
        since = cluster.now - timedelta(seconds=choose.choice((0, 60)))
        cluster.trouble[version] = unschedulable("0/1 nodes are available: 1 Insufficient memory.", since)
    for _ in range(choose.choice((0, 0, 0, 2, 5))):
        cluster.turn()


def pods_are_to_change(cluster: Cluster, choose: random.Random) -> None:
    """Another version comes into running pods: they change, or will not, or cannot, or take their time."""
    version, policy = choose.choice(VERSIONS), {"strategy": "HotReload", "capacity": "Surge"}
    replicas = choose.choice((1, 5, 5, 5))
    cluster.edit(replicas=replicas, engine={"device": "CPU"}, paused=False, rollout=policy)
    for _ in range(12):
        cluster.turn()
    hold = choose.choice(({}, {}, {}, {}, {"promotion": "Manual"}))
    cluster.edit(modelVersion=version, paused=choose.random() < 0.1, rollout={**policy, **hold})
    for _ in range(choose.choice((0, 1, 4, 5, 5, 6, 7))):
        cluster.turn()
    match choose.randrange(8):
        case 0:
            cluster.ends[version] = ("RolledBack", "ChecksumMismatch", "page 7")
        case 1:
            cluster.ends[version] = ("Refused", "RestartRequired", "TokenizerDiffers: x")
        case 2:
            cluster.lies[version] = "!HTTP 500"
        case 3:
            cluster.stuck = True
        case 4:
            cluster.measured = {each: measured() for each in VERSIONS if each != version}
            cluster.measured[version] = measured(800, error=200)
        case 5:
            cluster.fixed = choose.random() < 0.5
        case 6:
            cluster.edit(modelVersion=choose.choice(VERSIONS))


def containers_start_again(cluster: Cluster, choose: random.Random) -> None:
    for pod in cluster.pods():
        if choose.random() < 0.7:
            cluster.restart(pod)
            cluster.runtimes.pop(pod["metadata"]["uid"], None)


def a_child_is_deleted(cluster: Cluster, choose: random.Random) -> None:
    found = cluster.of_kind(choose.choice(CHILDREN))
    if found:
        cluster.remove(choose.choice(found))


def a_child_is_edited(cluster: Cluster, choose: random.Random) -> None:
    found = cluster.of_kind(choose.choice(CHILDREN))
    if not found:
        return
    obj = choose.choice(found)
    labels = {naming.ROLLOUT: "0badc0de", naming.TARGET: "x.y", "team": "x"}
    part = next(each for each in ("spec", "data", "metadata") if each in obj)
    match choose.randrange(4):
        case 0:
            cluster.add_beside(obj)
        case 1 if obj["kind"] != "ControllerRevision":
            cluster.take_over(obj, part, next(iter(obj[part])), value=obj[part][next(iter(obj[part]))])
        case 2:
            cluster.take_over(
                obj, "metadata", "annotations", naming.EXPOSES, value=choose.choice(("x", "none"))
            )
        case _:
            key = choose.choice(list(labels))
            cluster.take_over(obj, "metadata", "labels", key, value=labels[key])


def a_child_is_foreign(cluster: Cluster, choose: random.Random) -> None:
    kind, version = choose.choice((("Service", "v1"), ("Secret", "v1"), ("PodDisruptionBudget", "policy/v1")))
    name = "chat-control" if kind == "Secret" else "chat"
    found = cluster.find(kind, name)
    if found:
        cluster.remove(found)
    cluster.foreign[Ref(version, kind, "models", name)] = "belongs to Deployment web"


def a_kind_is_refused(cluster: Cluster, choose: random.Random) -> None:
    """By a quota, an admission policy or a lost grant, just when it has to be written."""
    kind = choose.choice(CHILDREN)
    cluster.refused[kind] = "exceeded quota: small"
    for obj in cluster.of_kind(kind):
        cluster.remove(obj)


def it_is_deleted(cluster: Cluster, choose: random.Random) -> None:
    cluster.delete()


def a_model_changes(cluster: Cluster, choose: random.Random) -> None:
    name = choose.choice(VERSIONS)
    model = thawed(cluster.find("ModelVersion", name) or a_model_version(name))
    match choose.randrange(4):
        case 0:
            cluster.remove(model)
        case 1:
            model["status"] = {}
            cluster.put(model)
        case 2:
            cluster.put({**model, "status": a_model_version(name + "b")["status"]})
        case _:
            model["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
            cluster.put(model)


def the_status_is_lost(cluster: Cluster, choose: random.Random) -> None:
    cluster.set_status(choose.choice((None, {}, {"phase": "Observing"}, {"observedGeneration": 1})))


def the_operator_restarts(cluster: Cluster, choose: random.Random) -> None:
    plan = cluster.plan()
    if plan.actions:
        cluster.reconcile(crash_after=choose.randrange(len(plan.actions)))
    cluster.restart_operator()


def time_passes(cluster: Cluster, choose: random.Random) -> None:
    cluster.pass_time(seconds=choose.choice((0.1, 1, 3, 60, 3600)))


DAMAGE = (
    spec_changes,
    version_changes,
    version_changes,
    version_changes,
    *[somebody_is_asked_first] * 9,
    somebody_promotes,
    *[scale_changes] * 2,
    spec_becomes_invalid,
    *[the_engine_is_asked_too_much] * 2,
    *[pods_get_into_trouble] * 19,
    pods_are_refused,
    pods_are_refused,
    pods_die,
    pods_lie,
    a_rollout_is_aborted,
    *[what_is_said_is_compared] * 7,
    *[a_job_tries_it] * 6,
    *[a_webhook_is_asked] * 3,
    *[what_takes_over_is_observed] * 8,
    *[there_is_no_room_for_two] * 10,
    *[pods_are_to_change] * 17,
    *[containers_start_again] * 2,
    what_failed_is_tried_again,
    a_child_is_deleted,
    *[a_child_is_edited] * 13,
    a_child_is_foreign,
    *[a_kind_is_refused] * 2,
    *[it_is_deleted] * 2,
    *[a_model_changes] * 4,
    the_status_is_lost,
    the_operator_restarts,
    time_passes,
)


def damage(cluster: Cluster, choose: random.Random) -> list[str]:
    """One to three things that go wrong; returns their names."""
    chosen = choose.choices(DAMAGE, k=choose.randint(1, 3))
    for harm in chosen:
        harm(cluster, choose)
    return [harm.__name__ for harm in chosen]


def heal(cluster: Cluster) -> None:
    """What goes away by itself or somebody ends is over: full nodes, failing answers, inspections, holds."""
    spec = cluster.deployment["spec"]
    rollout = spec.get("rollout", {})
    if spec.get("paused") or "promotion" in rollout:
        cluster.edit(paused=False, rollout={key: rollout[key] for key in rollout.keys() - {"promotion"}})
    cluster.trouble.clear()
    cluster.lies.clear()
    cluster.unlikely.clear()
    cluster.trials.clear()
    cluster.webhook.clear()
    cluster.ends.clear()
    cluster.stuck = cluster.fixed = False
    cluster.other_files.clear()
    for model in cluster.of_kind("ModelVersion"):
        if not model["status"].get("digest"):
            cluster.put({**model, "status": a_model_version(model["metadata"]["name"])["status"]})
