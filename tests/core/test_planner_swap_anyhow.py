"""Whatever happens at any moment of a swap, somebody answers in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.core.cluster import Cluster
from tests.core.journeys import moments
from tests.core.swapping import changing, wanted

from sluicegate.core import naming
from sluicegate.core.objects import annotation


def _back(cluster: Cluster) -> None:
    cluster.edit(modelVersion="v1")


def _aborted(cluster: Cluster) -> None:
    found = cluster.status.get("rollout")
    if found:
        cluster.annotate(abort=found["id"])


def _a_third(cluster: Cluster) -> None:
    cluster.edit(modelVersion="v3")


def _paused(cluster: Cluster) -> None:
    cluster.edit(paused=True)
    cluster.settle(80)
    assert cluster.answering()
    cluster.edit(paused=False)


def _scaled(cluster: Cluster) -> None:
    cluster.edit(replicas=3)


def _at_zero(cluster: Cluster) -> None:
    cluster.edit(replicas=0)
    cluster.settle(80)
    cluster.edit(replicas=2)


def _wiped(cluster: Cluster) -> None:
    cluster.wipe_status()
    cluster.restart_operator()


def _other_strategy(cluster: Cluster) -> None:
    cluster.edit(rollout={"strategy": "BlueGreen"})


def _without_pods(cluster: Cluster) -> None:
    cluster.remove_pods()


def _without(kind: str) -> Callable[[Cluster], None]:
    def lose(cluster: Cluster) -> None:
        for obj in cluster.of_kind(kind):
            cluster.remove(obj)

    return lose


def _nothing(cluster: Cluster) -> None:
    pass


# What may happen at any moment of a swap, and who may answer in the end.
EVENTS: dict[str, tuple[Callable[[Cluster], None], set[str]]] = {
    "nothing": (_nothing, {"v2"}),
    "the old version is wanted again": (_back, {"v1"}),
    "somebody ends it": (_aborted, {"v1", "v2"}),
    "a third version is wanted": (_a_third, {"v3"}),
    "it is paused for a while": (_paused, {"v2"}),
    "more replicas are wanted": (_scaled, {"v2"}),
    "it is at zero for a while": (_at_zero, {"v2"}),
    "the status is lost and the operator restarts": (_wiped, {"v2"}),
    "both are to run side by side": (_other_strategy, {"v2"}),
    "all pods are lost": (_without_pods, {"v1", "v2"}),
    "every ReplicaSet is lost": (_without("ReplicaSet"), {"v1", "v2"}),
    "every pointer is lost": (_without("ConfigMap"), {"v2"}),
    "the Service is lost": (_without("Service"), {"v2"}),
}


@pytest.mark.parametrize(("happen", "answers"), EVENTS.values(), ids=EVENTS)
def test_whatever_happens_at_any_moment_somebody_answers_in_the_end(
    happen: Callable[[Cluster], None], answers: set[str]
) -> None:
    for number, cluster in enumerate(moments(changing())):
        if "status" not in cluster.deployment:
            continue
        happen(cluster)
        cluster.settle(80)
        assert cluster.answering() <= answers, number
        assert cluster.answering(), number
        assert list(wanted(cluster).values()) == [cluster.deployment["spec"]["replicas"]]
        records = [each for each in cluster.of_kind("ControllerRevision") if annotation(each, naming.SWAPS)]
        assert not [each for each in records if each["metadata"]["name"] in _names(cluster)], number


def _names(cluster: Cluster) -> set[str]:
    return {each["metadata"]["name"] for each in cluster.of_kind("ReplicaSet")}


@pytest.mark.parametrize("happen", [_nothing, _back, _a_third, _aborted])
def test_an_operator_killed_after_any_write_comes_to_the_same_end(
    happen: Callable[[Cluster], None],
) -> None:
    for cluster in moments(changing()):
        happen(cluster)
        reference = cluster.fork()
        reference.settle(80)
        for count in range(len(cluster.plan().actions)):
            killed = cluster.fork()
            killed.reconcile(crash_after=count)
            killed.restart_operator()
            killed.run_pods()
            killed.settle(80)
            assert killed.answering() == reference.answering()
            assert killed.shape()[0] == reference.shape()[0]
