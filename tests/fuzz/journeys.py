"""The way of a generated custom resource through the planners, to its rest.

Everything that a planner sees is frozen, and every write is checked against the invariants.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import yaml
from tests.builders import a_model_version, a_node
from tests.core import invariants
from tests.core.cluster import Cluster
from tests.core.frozen import frozen
from tests.core.generated import TROUBLES
from tests.core.inspection import FOUND, Inspection
from tests.fuzz.specs import SCHEMAS, Object, Sample, a_status, sample
from tests.fuzz.values import ABSENT
from tests.fuzz.verdicts import as_stored, refusal, replay, shrunk
from tests.sim.server.structure import violations

from sluicegate.api.v1alpha1.llmdeployment import Step

Outcomes = Counter[tuple[str, str]]

LONGEST_WAY = 40
MOST_PODS = 3
NO_FACTS = {"attentionHeads": 0, "vocabularySize": 0, "contextLength": 0}


def follow(seed: int, first: int, count: int, every: Callable[[int], None] = lambda number: None) -> Outcomes:
    """How the objects of these numbers end. Raises AssertionError, with the smallest such object, for one
    that does not; `every` is told each number before it is tried."""
    outcomes: Outcomes = Counter()
    for number in range(first, first + count):
        every(number)
        tried = sample(seed, number)
        try:
            outcomes[tried.kind, outcome(tried)] += 1
        except Exception as error:
            small = asyncio.run(shrunk(tried.obj, partial(_fails_alike, tried, error)))
            raise AssertionError(f"{yaml.safe_dump(small)}{error!r}\n{replay(tried)}") from error
    return outcomes


async def _fails_alike(tried: Sample, error: Exception, obj: Object) -> bool:
    try:
        outcome(replace(tried, obj=obj))
    except Exception as other:
        return type(other) is type(error)
    return False


def outcome(given: Sample) -> str:
    """How it ends: InvalidSpec, Ready, or Stalled. Raises AssertionError for any other end."""
    choose = random.Random(f"way/{given.seed}/{given.number}")
    obj = seen(given)
    if choose.random() < 0.4:
        obj = _with_a_status(obj, a_status(given.seed, given.number, given.kind))
    if refusal(obj) is not None:
        return _invalid(obj)
    return WAYS[given.kind](choose, obj)


def seen(given: Sample) -> Object:
    """The object as the operator sees it when it is new."""
    stored = as_stored(given.obj)
    meta = {"namespace": "models", "uid": "uid-it", "resourceVersion": "1", "generation": 1}
    new = {key: part for key, part in stored.items() if key != "status"}
    return {**new, "metadata": {**stored["metadata"], **meta}}


def _with_a_status(obj: Object, status: Any) -> Object:
    """The object with this status, if the API server could have stored it."""
    if status is ABSENT:
        return obj
    told = as_stored({**obj, "status": status})
    wrong = list(violations(SCHEMAS[obj["kind"]]["properties"]["status"], told["status"]))
    return obj if wrong else told


def _invalid(obj: Object) -> str:
    world: Cluster | Inspection = Cluster(obj) if obj["kind"] == "LLMDeployment" else Inspection(obj)
    plan = world.plan()
    assert plan.actions == (), "it is invalid, and something is done"
    world.set_status(plan.status)
    assert world.condition("Stalled")["reason"] == "InvalidSpec"
    assert world.condition("Ready")["status"] == "False"
    assert world.plan().events == (), "the same is told twice"
    return "InvalidSpec"


def _deployment(choose: random.Random, obj: Object) -> str:
    Cluster(obj).plan()
    cluster = a_world_for(choose, obj)
    cluster.plan()
    few = min(obj["spec"].get("replicas", 1), MOST_PODS)
    cluster.deployment = frozen({**obj, "spec": {**obj["spec"], "replicas": few}})
    if choose.random() < 0.2:
        cluster.trouble[obj["spec"]["modelVersion"]] = choose.choice(TROUBLES)
    for step in range(LONGEST_WAY):
        plan = cluster.reconcile()
        invariants.check_labels(plan)
        if not plan.actions and plan.requeue_after is None and cluster.is_settled(plan):
            if not (cluster.trouble and _waits_for_room(cluster)):
                return _end(cluster)
            cluster.trouble.clear()
        if step == LONGEST_WAY // 2:
            cluster.trouble.clear()
        cluster.run_pods()
        cluster.run_jobs()
        cluster.now += max(plan.requeue_after or timedelta(0), timedelta(seconds=1))
    raise AssertionError(f"it never settles: {cluster.status}")


def _waits_for_room(cluster: Cluster) -> bool:
    """Whether it rests without an end, as rollout.capacity: Wait lets it."""
    return (cluster.status.get("rollout") or {}).get("step") == Step.AWAITING_CAPACITY


def a_world_for(choose: random.Random, obj: Object) -> Cluster:
    """A cluster that has what the deployment names: its versions and, mostly, its accelerators."""
    engine, resources = obj["spec"]["engine"], obj["spec"]["resources"]
    named = {obj["spec"]["modelVersion"], engine.get("speculative", {}).get("draftModelVersion", "")}
    facts = choose.choice(({}, NO_FACTS, {"attentionHeads": 64, "contextLength": 131_072}))
    models = [a_model_version(name, **facts) for name in sorted(named)]
    node = a_node("node1")
    if choose.random() < 0.9:
        resource = resources.get("accelerator", {}).get("resource", "nvidia.com/gpu")
        node["status"]["allocatable"] = {resource: "16", "cpu": "64", "memory": "1Ti"}
    return Cluster(obj, *models, node)


def _model_version(choose: random.Random, obj: Object) -> str:
    inspection = Inspection(obj)
    for _ in range(LONGEST_WAY):
        plan = inspection.reconcile()
        invariants.check_labels(plan)
        if inspection.jobs and not inspection.pods:
            inspection.end(FOUND)
        if not (inspection.jobs or plan.actions or plan.requeue_after):
            return _end(inspection)
        inspection.now += max(plan.requeue_after or timedelta(0), timedelta(seconds=1))
    raise AssertionError(f"it never settles: {inspection.model}")


def _end(world: Cluster | Inspection) -> str:
    if world.condition("Ready")["status"] == "True":
        return "Ready"
    assert world.condition("Stalled")["status"] == "True", f"it rests and is neither: {world.status}"
    return "Stalled"


WAYS: Mapping[str, Callable[[random.Random, Object], str]] = {
    "LLMDeployment": _deployment,
    "ModelVersion": _model_version,
}
