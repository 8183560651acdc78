"""Whatever happens while a version comes into the pods that run, and whenever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders import (
    READY,
    ADeployment,
    a_model_version,
)
from tests.core.changes_in_place import (
    ENDS,
    IN_PLACE,
    at,
    changed,
    changing,
    in_its_pods,
    late,
    rollout_id,
    served,
    serving,
    told,
)
from tests.core.cluster import Cluster
from tests.core.engines import Order
from tests.core.journeys import endings, kills, moments, step, turn_until

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.plan import Ask, CancelReload, Inquire, Reload

CHANGES: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "nothing": (lambda cluster: None, "v2"),
    "the first version is wanted again": (lambda cluster: cluster.edit(modelVersion="v1"), "v1"),
    "a third one is wanted": (lambda cluster: cluster.edit(modelVersion="v3"), "v3"),
    "one replica more": (lambda cluster: cluster.edit(replicas=3), "v2"),
    "one replica less": (lambda cluster: cluster.edit(replicas=1), "v2"),
    "the status is lost": (lambda cluster: cluster.wipe_status(), "v2"),
    "the operator restarts": (lambda cluster: cluster.restart_operator(), "v2"),
    "a pod is lost": (lambda cluster: cluster.remove(cluster.pods()[0]), "v2"),
    "another pod is lost": (lambda cluster: cluster.remove(cluster.pods()[-1]), "v2"),
    "a pod's container ends": (lambda cluster: ends(cluster, 0), "v2"),
    "another one's ends": (lambda cluster: ends(cluster, -1), "v2"),
    "the Service is lost": (lambda cluster: cluster.remove(cluster.service), "v2"),
    "the pointers are lost": (lambda cluster: lose(cluster, "ConfigMap"), "v2"),
    "the ReplicaSet is lost": (lambda cluster: lose(cluster, "ReplicaSet"), "v2"),
}


def ends(cluster: Cluster, which: int) -> None:
    """Its container starts again at once, which the operator is to hear."""
    pod = cluster.pods()[which]
    cluster.restart(pod)
    cluster.runtimes.pop(pod["metadata"]["uid"], None)


def lose(cluster: Cluster, kind: str) -> None:
    for each in cluster.of_kind(kind):
        cluster.remove(each)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_happens_at_any_moment_the_version_that_is_wanted_serves_in_the_end(change: str) -> None:
    happens, version = CHANGES[change]
    for cluster in moments(changing()):
        happens(cluster)
        cluster.settle(60)
        assert set(served(cluster)) == {version}
        assert cluster.condition("Ready")["reason"] == "Serving"
        assert set(cluster.versions()) == {version}


@pytest.mark.parametrize("ends_with", ["nothing", *ENDS])
def test_an_operator_killed_at_any_write_comes_to_the_same_end(ends_with: str) -> None:
    def begin() -> Cluster:
        cluster = changing()
        if ends_with in ENDS:
            cluster.ends["v2"] = ENDS[ends_with][0]
        return cluster

    calm = begin()
    calm.settle()
    for killed in kills(begin()):
        killed.settle(60)
        assert killed.shape() == calm.shape()
        assert served(killed) == served(calm)


def test_a_rollout_whose_record_is_lost_begins_again_or_is_given_up() -> None:
    for cluster in moments(changing()):
        lost = cluster.find("ControllerRevision", naming.colour_name("chat", rollout_id(cluster)))
        if lost is not None:
            cluster.remove(lost)
        cluster.settle(60)
        assert set(served(cluster)) == {"v2"}
        assert cluster.condition("Ready")["reason"] == "Serving"


def test_a_colour_whose_record_is_lost_is_known_again_by_its_pointer_and_template() -> None:
    for cluster in moments(changing()):
        first = cluster.of_kind("ReplicaSet")[0]["metadata"]["name"]
        cluster.remove(cluster.one("ControllerRevision", first))
        cluster.settle(60)
        assert set(served(cluster)) == {"v2"}
        assert cluster.condition("Ready")["reason"] == "Serving"


def test_a_pod_that_comes_late_with_an_older_pointer_changes_too() -> None:
    cluster = changed()
    late(cluster)
    cluster.turn()
    cluster.reconcile()
    assert told(cluster)[-1] == ("Switch", "v2")
    assert (cluster.condition("Ready")["status"], cluster.condition("Ready")["reason"]) == (
        "False",
        "Superseded",
    )
    assert step(cluster) is None
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_a_pod_that_comes_late_is_no_fault_of_the_version_that_is_observed() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    late(cluster)
    cluster.settle()
    in_its_pods(cluster, "v2")
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")


def test_a_pod_that_would_not_change_back_is_told_so_again_and_again() -> None:
    cluster = at("Fleet", changing())
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    cluster.edit(modelVersion="v1")
    for _ in range(30):
        cluster.turn()
    again = [each for each in told(cluster) if each == ("Switch", "v1")]
    assert 2 <= len(again) <= 5
    assert step(cluster) == "Reverting"
    cluster.ends.clear()
    for _ in range(15):
        cluster.turn()
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_a_pod_that_does_not_say_what_it_serves_is_asked_now_and_then() -> None:
    cluster = changed()
    mute = cluster.pods()[0]["metadata"]["uid"]
    cluster.runtimes[mute] = replace(cluster.runtimes[mute], error="the connection broke", at=cluster.now)
    plan = cluster.plan()
    assert (plan.actions, plan.requeue_after) == ((), timedelta(seconds=10))
    cluster.pass_time(seconds=10)
    assert [type(each) for each in cluster.plan().actions] == [Inquire]


def test_versions_of_the_same_files_differ_by_what_their_answers_name() -> None:
    cluster = serving()
    renamed = a_model_version("v2")
    renamed["status"]["digest"] = a_model_version("v1")["status"]["digest"]
    cluster.put(renamed)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_what_is_deleted_in_the_midst_is_told_nothing_more() -> None:
    cluster = at("Fleet", changing())
    cluster.delete()
    assert cluster.plan().actions == ()


def test_records_of_what_went_into_pods_are_kept_as_long_as_others() -> None:
    cluster = changing(historyLimit=1)
    for version in ("v2", "v3", "v1"):
        cluster.edit(modelVersion=version)
        cluster.settle()
    assert [each[0] for each in endings(cluster)] == ["v1", "v1"]
    in_its_pods(cluster, "v1")


def test_what_a_pod_said_before_it_became_ready_again_says_nothing() -> None:
    cluster = at("Fleet", changing())
    first = cluster.pods()[0]
    old = replace(cluster.engine(first), pointer=cluster.engine(cluster.pods()[1]).pointer, sequence=0)
    cluster.engines[first["metadata"]["uid"]] = replace(old, order=None)
    again = {**READY["conditions"][0], "lastTransitionTime": timestamp(cluster.now + timedelta(seconds=1))}
    cluster.set_pod(first, {**READY, "conditions": [again]})
    cluster.pass_time(seconds=2)
    cluster.reconcile()
    asked = [each.pod_uid for each in cluster.log[-2:] if isinstance(each, Inquire)]
    assert first["metadata"]["uid"] in asked
    cluster.settle()
    in_its_pods(cluster, "v2")


@pytest.mark.parametrize("lost", [False, True], ids=["the record is left", "nothing is left"])
def test_a_rollout_whose_pods_and_colour_are_gone_is_superseded_by_one_of_new_pods(lost: bool) -> None:
    cluster = at("Staging", changing())
    first = cluster.of_kind("ReplicaSet")[0]["metadata"]["name"]
    for each in (*cluster.pods(), *cluster.of_kind("ConfigMap"), *cluster.of_kind("ReplicaSet")):
        cluster.remove(each)
    if lost:
        cluster.remove(cluster.one("ControllerRevision", first))
    cluster.settle()
    assert cluster.versions() == ["v2"]
    ends = [each[:2] for each in endings(cluster)]
    assert ends[:2] == [("v2", "Promoted"), ("v2", "Superseded")]


def test_pods_without_an_address_are_told_nothing() -> None:
    for cluster in moments(changing()):
        for pod in cluster.pods():
            cluster.set_pod(pod, {"conditions": READY["conditions"]})
        for version in ("v2", "v3"):
            cluster.edit(modelVersion=version)
            actions = cluster.reconcile().actions
            assert not any(isinstance(each, Reload | Inquire | CancelReload) for each in actions)
            assert all(each.url for each in actions if isinstance(each, Ask))


def test_a_draft_model_comes_with_its_pods_only() -> None:
    cluster = Cluster(
        ADeployment()
        .with_engine(speculative={"method": "DraftModel", "draftModelVersion": "v3", "tokens": 3})
        .with_spec(rollout=IN_PLACE)
        .build(),
        *(a_model_version(name) for name in ("v1", "v2", "v3")),
    )
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert "it has a draft model" in cluster.status["history"][0]["message"]


def test_a_colour_that_can_serve_again_has_its_pods_changed_back() -> None:
    cluster = at("Fleet", changing())
    cluster.edit(rollout={"strategy": "BlueGreen", "observeSeconds": 60})
    cluster.reconcile()
    old = cluster.pods()
    turn_until(cluster, lambda: step(cluster) == "Observing")
    turn_until(cluster, lambda: {cluster.served(pod) for pod in old} == {"v1"})
    assert step(cluster) == "Observing"
    cluster.edit(modelVersion="v1")
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_a_pod_that_is_at_something_else_gives_it_up_first() -> None:
    cluster = at("Staging", changing())
    pod = cluster.pods()[0]["metadata"]["uid"]
    body = {"version": "v3", "digest": "sha256:3", "source": {}, "sequence": 1, "mode": "Stage"}
    cluster.engines[pod] = replace(cluster.engines[pod], order=Order(body, 0.0, ready=False))
    cluster.runtimes.clear()
    cluster.reconcile()
    cluster.reconcile()
    assert any(isinstance(each, CancelReload) for each in cluster.log)
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_no_pod_changes_while_another_could_not() -> None:
    cluster = at("Staging", changing())
    mute = cluster.pods()[1]
    cluster.set_pod(mute, {"conditions": READY["conditions"]})
    cluster.runtimes.pop(mute["metadata"]["uid"])
    for _ in range(6):
        cluster.reconcile()
        cluster.pass_time(seconds=2)
    assert ("Switch", "v2") not in told(cluster)
    assert step(cluster) == "Staging"
