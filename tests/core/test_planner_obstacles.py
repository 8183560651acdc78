"""What stands in the way of a change: pods of others, refusals. It is said, and its end is enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, STARTING, ADeployment, a_model_version, a_node
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_cluster, a_settled_cluster

GPUS = ADeployment().with_spec(engine={"parallelism": {"tensor": 4}})


def superseded() -> tuple[Cluster, Any]:
    """Version v1 serves, v3 is wanted, and v2, wanted in between, has a pod."""
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.turn()
    cluster.edit(modelVersion="v3")
    return cluster, cluster.pods(cluster.rollout_of("v2"))[0]


def test_a_third_version_gets_no_pods_before_those_of_a_second_are_gone() -> None:
    cluster, last = superseded()
    for _ in range(12):
        cluster.turn()
        cluster.put(last)
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1"]
    cluster.settle()
    assert cluster.answering() == {"v3"}


def test_pods_that_end_late_on_a_lost_node_hold_nobody_up() -> None:
    cluster, lost = superseded()
    lost = {**lost, "metadata": {**lost["metadata"], "deletionTimestamp": "2026-01-01T12:00:30Z"}}
    while "v3" not in cluster.versions():
        cluster.turn()
        cluster.put(lost)
    assert cluster.now > NOW + timedelta(seconds=30)


def test_pods_that_somebody_relabelled_put_the_cutover_off_and_are_named() -> None:
    cluster = a_settled_cluster()
    debugged = thawed(cluster.pods()[0])
    debugged["metadata"]["labels"]["sluicegate.dev/rollout"] = "debug"
    cluster.edit(modelVersion="v2")
    for _ in range(12):
        cluster.turn()
        cluster.put(debugged)
    assert cluster.answering() == {"v1"}
    assert debugged["metadata"]["name"] in cluster.condition("Ready")["message"]
    assert cluster.condition("Stalled") == {}
    assert cluster.versions() == ["v1", "v2"]
    wrong = cluster.fork()
    wrong.lies["v2"] = "!HTTP 500"
    wrong.restart_operator()
    wrong.reconcile()
    wrong.reconcile()
    assert wrong.condition("Ready")["reason"] == "AnswerFailed"
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Provisioning"
    cluster.trouble.clear()
    cluster.remove(debugged)
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_pod_that_somebody_relabelled_keeps_no_change_open() -> None:
    cluster = a_settled_cluster()
    debugged = thawed(cluster.pods()[0])
    debugged["metadata"] |= {"name": "debugged", "uid": "uid-debugged"}
    debugged["metadata"]["labels"] |= {"sluicegate.dev/rollout": "debug"}
    cluster.put(debugged)
    cluster.reconcile()
    assert "rollout" not in cluster.status
    assert cluster.condition("Reconciling") == {}


def test_a_pod_that_ends_is_no_replica_and_nothing_waits_for_it() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.edit(replicas=1)
    cluster.reconcile()
    cluster.run_pods()
    assert len(cluster.pods()) == 2
    cluster.reconcile()
    assert cluster.status["replicas"] == 1
    assert cluster.condition("Reconciling") == {}


def test_going_back_to_a_version_that_drains_is_not_late_though_its_record_is_old() -> None:
    cluster = a_settled_cluster()
    cluster.pass_time(hours=3)
    cluster.edit(modelVersion="v2")
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.edit(modelVersion="v1")
    while cluster.answering() != {"v1"}:
        cluster.turn()
        assert cluster.condition("Stalled") == {}


def test_a_refused_write_is_told_and_its_end_is_enough() -> None:
    cluster = a_cluster()
    cluster.refused["ControllerRevision"] = "admission webhook denied the request"
    cluster.turn()
    stalled, ready = cluster.condition("Stalled"), cluster.condition("Ready")
    assert (stalled["reason"], ready["reason"]) == ("WriteRefused", "WriteRefused")
    assert "admission webhook denied the request" in stalled["message"]
    cluster.refused.clear()
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


def test_more_accelerators_than_any_node_has_is_refused_with_numbers_and_recovers() -> None:
    nodes = [a_node("small", nvidia_com__gpu="1"), a_node("large", nvidia_com__gpu="2")]
    cluster = Cluster(GPUS.build(), a_model_version("v1"), *nodes)
    plan = cluster.settle()
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "InsufficientAccelerators"
    assert "4 nvidia.com/gpu" in stalled["message"]
    assert "large, has 2" in stalled["message"]
    assert cluster.of_kind("ReplicaSet") == ()
    assert plan.requeue_after is None
    cluster.put(a_node("huge", nvidia_com__gpu="8"))
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


def test_a_node_that_leaves_takes_nothing_from_a_deployment_that_runs() -> None:
    cluster = Cluster(GPUS.build(), a_model_version("v1"), a_node("large", nvidia_com__gpu="4"))
    cluster.settle()
    cluster.put(a_node("large", nvidia_com__gpu="0"))
    plan = cluster.reconcile()
    assert plan.actions == ()
    assert cluster.condition("Ready")["status"] == "True"


def test_engine_settings_that_cannot_run_are_refused_and_whoever_serves_goes_on() -> None:
    cluster = a_settled_cluster()
    cluster.edit(engine={"device": "CPU", "quantization": "FP8"})
    cluster.settle()
    assert cluster.condition("Stalled")["reason"] == "EngineRefused"
    assert cluster.answering() == {"v1"}
    assert cluster.versions() == ["v1"]
    cluster.edit(engine={"device": "CPU"})
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


def test_an_invalid_spec_touches_nothing_and_recovers() -> None:
    cluster = a_settled_cluster()
    cluster.remove(cluster.service)
    cluster.edit(engine={"device": "CPU", "parallelism": {"pipeline": 2}})
    plan = cluster.reconcile()
    assert plan.actions == ()
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"
    assert (cluster.condition("Ready")["status"], cluster.condition("Stalled")["status"]) == ("False", "True")
    assert cluster.status["phase"] == "Stalled"
    assert "no pipeline parallelism" in cluster.condition("Ready")["message"]
    assert cluster.status["observedGeneration"] == 2
    assert [event.reason for event in plan.events] == ["InvalidSpec", "InvalidSpec"]
    assert cluster.reconcile().events == ()
    cluster.edit(engine={"device": "CPU"})
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"


def test_a_name_that_cannot_be_is_told_without_blaming_a_field() -> None:
    cluster = a_settled_cluster(ADeployment(name="9chat"))
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"
    assert cluster.condition("Stalled")["message"].startswith("Value error, metadata.name must")


@pytest.mark.parametrize("replicas", ["2", True], ids=["a text", "a truth"])
def test_what_the_api_server_takes_for_no_number_is_none(replicas: Any) -> None:
    cluster = a_settled_cluster()
    cluster.edit(replicas=replicas)
    assert cluster.reconcile().actions == ()
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"


def test_an_invalid_spec_with_an_unreadable_status_is_told_all_the_same() -> None:
    cluster = a_settled_cluster()
    cluster.edit(replicas=-1)
    cluster.set_status({"conditions": "none"})
    cluster.reconcile()
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"
    assert "spec.replicas" in cluster.condition("Stalled")["message"]
