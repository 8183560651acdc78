"""Journeys: what people ask of a deployment, from a world that is settled to one that is settled again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from tests.builders import ADeployment, a_model_version
from tests.core.cluster import Cluster

Journey = Callable[[Cluster], None]


def a_cluster(deployment: ADeployment | None = None) -> Cluster:
    models = [a_model_version(name) for name in ("v1", "v2", "v3")]
    return Cluster((deployment or ADeployment()).build(), *models)


def a_settled_cluster(deployment: ADeployment | None = None) -> Cluster:
    cluster = a_cluster(deployment)
    cluster.settle()
    return cluster


def step(cluster: Cluster) -> str | None:
    """Where the rollout stands, as the status tells."""
    found: str | None = cluster.status.get("rollout", {}).get("step")
    return found


def endings(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Version, outcome and reason of each rollout in the history, the last first."""
    return [(each["version"], each["outcome"], each["reason"]) for each in cluster.status["history"]]


def history(cluster: Cluster) -> Mapping[str, Any]:
    """What the status tells of the rollout that ended last."""
    found: Mapping[str, Any] = cluster.status["history"][0]
    return found


def turns(cluster: Cluster, count: int = 6) -> Cluster:
    for _ in range(count):
        cluster.turn()
    return cluster


def turn_until(cluster: Cluster, holds: Callable[[], bool]) -> None:
    """Nothing is done where it holds already."""
    for _ in range(60):
        if holds():
            return
        cluster.turn()
    raise AssertionError(f"it never comes to that: {cluster.status.get('rollout')}")


def moments(cluster: Cluster, passes: int = 40) -> Iterator[Cluster]:
    """A fork of the cluster before each pass, the kubelets' doings apart, until it is settled."""
    cluster = cluster.fork()
    for _ in range(passes):
        yield cluster.fork()
        plan = cluster.reconcile()
        if not plan.actions and cluster.is_settled(plan):
            return
        yield cluster.fork()
        cluster.run_pods()
        cluster.pass_time(seconds=1.1)
        if plan.requeue_after is None:
            cluster.now += timedelta(seconds=1)
    raise AssertionError("it never settles")


def kills(cluster: Cluster, passes: int = 40) -> Iterator[Cluster]:
    """A fork for each write on the way, and for the end of each pass: killed there, the operator is back."""
    for moment in moments(cluster, passes):
        for written in range(len(moment.plan().actions) + 1):
            killed = moment.fork()
            killed.reconcile(crash_after=written)
            killed.restart_operator()
            yield killed


def _the_first_apply(_: Cluster) -> None:
    """Nothing but the LLMDeployment is there."""


def _as_it_is(cluster: Cluster) -> None:
    cluster.settle()


def _after(**spec: object) -> Journey:
    def go(cluster: Cluster) -> None:
        cluster.settle()
        cluster.edit(**spec)

    return go


def _at_zero(cluster: Cluster) -> None:
    cluster.edit(replicas=0)
    cluster.settle()


def _another_version_at_zero(cluster: Cluster) -> None:
    _at_zero(cluster)
    cluster.edit(modelVersion="v2")


def _back_from_zero(cluster: Cluster) -> None:
    _at_zero(cluster)
    cluster.edit(replicas=1)


def _a_third_version_while_the_second_comes(cluster: Cluster) -> None:
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.turn()
    cluster.turn()
    cluster.edit(modelVersion="v3")


def _another_version_of_two_replicas(cluster: Cluster) -> None:
    cluster.edit(replicas=2)
    cluster.settle()
    cluster.edit(modelVersion="v2")


JOURNEYS: dict[str, Journey] = {
    "the first apply": _the_first_apply,
    "nothing at all": _as_it_is,
    "one replica more": _after(replicas=2),
    "down to zero": _after(replicas=0),
    "back from zero": _back_from_zero,
    "another version": _after(modelVersion="v2"),
    "another version with more replicas": _after(modelVersion="v2", replicas=3),
    "another version of two replicas": _another_version_of_two_replicas,
    "another version at zero": _another_version_at_zero,
    "another version and down to zero": _after(modelVersion="v2", replicas=0),
    "another engine setting": _after(engine={"device": "CPU", "maxConcurrentSequences": 8}),
    "a third version while the second comes": _a_third_version_while_the_second_comes,
}


def begun(journey: Journey) -> Cluster:
    cluster = a_cluster()
    journey(cluster)
    return cluster
