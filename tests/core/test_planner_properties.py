"""Twenty-one thousand generated pairs of a custom resource and its world, each on its way to rest.

A pair is what one decision is taken on. Every one is frozen, so that a decision that writes into it fails,
every write is checked against the invariants, and every way ends Ready or Stalled with nothing left to do.
A pair that lies on such a way reaches its end too: nothing is damaged after the way has begun.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

from tests.builders import a_model_version, unschedulable, waiting
from tests.core.cluster import Cluster
from tests.core.generated import a_world, damage, heal
from tests.core.inspection import FOUND, Inspection, failure

from sluicegate.api.reasons import Reason
from sluicegate.core.model_planner import plan_model_version
from sluicegate.core.plan import (
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

CALLS_AND_WRITES = (
    Create,
    Apply,
    Replace,
    Delete,
    Ask,
    Score,
    Consult,
    Inquire,
    Reload,
    CancelReload,
)
PAIRS = 21_000
EACH_AT_LEAST = 50
LONGEST_WAY = 90

INSPECTION_REASONS = (
    Reason.SOURCE_NOT_FOUND,
    Reason.SOURCE_UNREACHABLE,
    Reason.SOURCE_FORBIDDEN,
    Reason.DIGEST_MISMATCH,
    Reason.CHECKPOINT_INCOMPLETE,
    Reason.CHECKPOINT_CORRUPT,
    Reason.NON_FINITE_WEIGHTS,
    Reason.CONFIG_INVALID,
    Reason.UNSAFE_PATH,
    Reason.UNSAFE_FORMAT,
    Reason.UNSUPPORTED_FORMAT,
    Reason.INSUFFICIENT_DISK,
    Reason.INSPECTION_FAILED,
    Reason.INSPECTING,
    Reason.IN_USE,
)
SHARED_REASONS = {
    Reason.VERIFIED,
    Reason.INVALID_SPEC,
    Reason.NAME_CONFLICT,
    Reason.UNSCHEDULABLE,
    Reason.IMAGE_PULL_FAILED,
    Reason.POD_CONFIGURATION_FAILED,
}


class Tally:
    """How often each kind of action and each reason was decided."""

    def __init__(self) -> None:
        self.pairs = 0
        self.seen: Counter[str] = Counter()

    def count(self, plan: Plan) -> None:
        self.pairs += 1
        self.seen.update({type(action).__name__ for action in plan.actions})
        status = plan.status or {}
        told = (*status.get("conditions", ()), *status.get("history", ()))
        self.seen.update({each["reason"] for each in told} | {event.reason for event in plan.events})

    def rare(self, names: set[str]) -> dict[str, int]:
        return {name: self.seen[name] for name in sorted(names) if self.seen[name] < EACH_AT_LEAST}


def follow(cluster: Cluster, tally: Tally) -> list[Cluster]:
    """The way of a cluster to rest; returns some of the worlds on it."""
    passed: list[Cluster] = []
    for step in range(LONGEST_WAY):
        if step in (2, 5):
            passed.append(cluster.fork())
        plan = cluster.reconcile()
        tally.count(plan)
        if not plan.actions and cluster.is_settled(plan) and plan.requeue_after is None:
            if at_rest(cluster):
                return [] if cluster.leaving else [*passed, cluster]
            heal(cluster)
        if step == 20:
            heal(cluster)
        cluster.run_pods()
        cluster.run_jobs()
        # What was done wakes the operator before the time that it named.
        pause = None if plan.actions else plan.requeue_after
        cluster.now += max(pause or timedelta(0), timedelta(seconds=1))
    raise AssertionError(f"it never settles: {cluster.condition('Ready')}")


def at_rest(cluster: Cluster) -> bool:
    ready = cluster.condition("Ready")["status"] == "True"
    return ready or cluster.leaving or bool(cluster.condition("Stalled"))


def test_every_generated_world_comes_to_rest_ready_or_stalled() -> None:
    tally, pool = Tally(), list[Cluster]()
    number = 0
    while tally.pairs < PAIRS:
        number += 1
        choose = random.Random(number)
        cluster = choose.choice(pool).fork() if pool and choose.random() < 0.8 else a_world(choose)
        harm = damage(cluster, choose)
        try:
            passed = follow(cluster, tally)
            if cluster.foreign or cluster.refused:
                cluster.foreign.clear()
                cluster.refused.clear()
                passed = follow(cluster, tally)
        except Exception as error:
            raise AssertionError(f"world {number}, after {harm}: {error}") from error
        again = plan_deployment(cluster.seen(), cluster.now + timedelta(days=1))
        assert (again.actions, again.events) == ((), ()), (number, harm)
        pool = [*pool, *passed][-40:]
    actions = {kind.__name__ for kind in CALLS_AND_WRITES}
    reasons = {str(reason) for reason in Reason if reason not in INSPECTION_REASONS}
    assert tally.rare(actions | reasons) == {}


def test_equal_worlds_are_decided_alike_whatever_the_order_of_objects() -> None:
    for number in range(100):
        choose = random.Random(number)
        cluster = a_world(choose)
        for _ in range(choose.randrange(8)):
            cluster.turn()
        damage(cluster, choose)
        shuffled = cluster.fork()
        items = list(shuffled.objects.items())
        choose.shuffle(items)
        shuffled.objects = dict(items)
        one, other = cluster.plan(), shuffled.plan()
        assert one.status == other.status
        assert {str(action) for action in one.actions} == {str(action) for action in other.actions}


def a_troubled_inspection(choose: random.Random, inspection: Inspection) -> None:
    """Something happens to a ModelVersion or its Job."""
    match choose.randrange(36):
        case lot if lot > 9 and inspection.jobs:
            reason = choose.choice([str(each) for each in INSPECTION_REASONS[:-3]] + ["Weather"])
            inspection.end(failure(reason, retryable=choose.random() < 0.5), 1, "Error")
        case 2 | 3 if inspection.jobs:
            states = [unschedulable("full"), waiting("ErrImagePull", container="inspect")]
            inspection.pod(**choose.choice([*states, waiting("CreateContainerError", container="inspect")]))
        case 4 if inspection.jobs:
            inspection.job_condition(choose.choice(("Failed", "Complete")))
        case 5:
            inspection.foreign = not inspection.jobs
        case 6:
            inspection.set_status(choose.choice(({}, {"digest": 7}, {"observedGeneration": -1})))
        case 7:
            inspection.users = choose.choice(((), ("chat",), ("chat", "search")))
            inspection.delete()
        case 8:
            inspection.reconcile(crash_after=0)
        case _:
            inspection.pass_time(seconds=choose.choice((1, 30, 3600)))


def rest(inspection: Inspection, tally: Tally) -> None:
    for step in range(LONGEST_WAY):
        plan = inspection.reconcile()
        tally.count(plan)
        if step == 1:
            inspection.foreign = False
        if step == 3:
            inspection.users = ()
        gone = (
            "deletionTimestamp" in inspection.model["metadata"]
            and not inspection.model["metadata"]["finalizers"]
        )
        if step > 3 and (gone or not (inspection.jobs or plan.actions or plan.requeue_after)):
            return
        if inspection.jobs and step % 2:
            inspection.end(FOUND)
        inspection.now += max(plan.requeue_after or timedelta(0), timedelta(seconds=1))
    raise AssertionError(f"it never settles: {inspection.model}")


def test_every_generated_model_version_comes_to_rest() -> None:
    tally, number = Tally(), 0
    while tally.pairs < PAIRS:
        number += 1
        choose = random.Random(number)
        bad = choose.random() < 0.05
        inspection = Inspection(a_model_version("v1", ready=False, uri="s3://x")) if bad else Inspection()
        for _ in range(choose.randrange(2, 12)):
            tally.count(inspection.reconcile())
            a_troubled_inspection(choose, inspection)
        rest(inspection, tally)
        if not bad and "deletionTimestamp" not in inspection.model["metadata"]:
            assert inspection.condition("Ready")["status"] == "True", number
        again = plan_model_version(inspection.seen(), inspection.now + timedelta(days=1))
        assert (again.actions, again.events) == ((), ()), number
    actions = {kind.__name__ for kind in (Create, Delete, SetFinalizers)}
    assert tally.rare(actions | {str(reason) for reason in {*INSPECTION_REASONS, *SHARED_REASONS}}) == {}
