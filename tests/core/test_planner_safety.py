"""Worlds in which a hasty planner would take away who serves, or bring in who may not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.builders import NOW, STARTING, ADeployment
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import JOURNEYS, a_settled_cluster, begun

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.objects import uid
from sluicegate.core.plan import Action, Apply, Ask, Create, Delete


def written(actions: tuple[Action, ...]) -> list[str]:
    """Names of what is written, and of what is deleted with a minus before it."""
    found = []
    for action in actions:
        if isinstance(action, Create | Apply):
            found.append(action.manifest["metadata"]["name"])
        elif isinstance(action, Delete):
            found.append(f"-{action.ref.name}")
    return found


def heard(replicas: int = 1) -> Cluster:
    """Version v1 serves; the pods of v2 are ready and have answered right."""
    cluster = a_settled_cluster(ADeployment().with_replicas(replicas))
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    cluster.run_pods()
    cluster.reconcile()
    assert written(cluster.plan().actions) == ["chat"]
    return cluster


def both_serve(replicas: int = 1) -> Cluster:
    cluster = heard(replicas)
    cluster.reconcile()
    assert cluster.answering() == {"v1", "v2"}
    return cluster


def switched() -> Cluster:
    """Version v2 serves, and v1 has not begun to go."""
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    return cluster


def test_one_pod_with_other_files_keeps_all_from_serving() -> None:
    cluster = heard(replicas=2)
    pod = cluster.pods(cluster.rollout_of("v2"))[1]
    cluster.runtimes[uid(pod)] = replace(cluster.runtimes[uid(pod)], digest="sha256:" + "f" * 64)
    assert "chat" not in written(cluster.plan().actions)
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_one_pod_that_was_not_heard_keeps_all_from_serving() -> None:
    cluster = heard(replicas=2)
    del cluster.runtimes[uid(cluster.pods(cluster.rollout_of("v2"))[1])]
    assert "chat" not in written(cluster.plan().actions)


def test_pods_that_do_not_say_which_files_they_serve_are_waited_for_without_an_alarm() -> None:
    cluster = heard()
    (pod,) = cluster.pods(cluster.rollout_of("v2"))
    cluster.runtimes[uid(pod)] = replace(cluster.runtimes[uid(pod)], digest=None)
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "WrongDigestServed"
    assert cluster.condition("Stalled") == {}


def test_ready_pods_that_nobody_would_heal_do_not_serve() -> None:
    cluster = heard()
    name = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.remove(cluster.one("ReplicaSet", name))
    assert written(cluster.plan().actions) == [name]


def test_an_overlap_without_a_whole_version_goes_to_the_one_that_has_a_ready_pod() -> None:
    cluster = both_serve(replicas=2)
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], STARTING)
    for pod in cluster.pods(cluster.rollout_of("v1")):
        cluster.set_pod(pod, STARTING)
    cluster.reconcile()
    assert cluster.answering() == {"v2"}


def test_an_overlap_without_a_ready_pod_goes_to_a_version_that_will_have_one() -> None:
    cluster = both_serve()
    left = thawed(cluster.of_kind("ConfigMap")[0])
    left["metadata"] |= {"name": naming.pointer_name("chat", "0badc0de"), "uid": "uid-left"}
    left["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    cluster.put(left)
    for pod in cluster.pods():
        cluster.set_pod(pod, STARTING)
    cluster.reconcile()
    assert cluster.service["spec"]["selector"][naming.ROLLOUT] == cluster.rollout_of("v1")


def test_an_overlap_whose_version_is_wanted_no_more_goes_to_one_that_has_a_ready_pod() -> None:
    cluster = both_serve()
    cluster.edit(modelVersion="unknown")
    cluster.reconcile()
    assert len(cluster.answering()) == 1


@pytest.mark.parametrize("lost", ["serving", "rollout"])
def test_a_status_that_says_ready_of_somebody_else_is_asked_after(lost: str) -> None:
    cluster = a_settled_cluster()
    ready = thawed(cluster.status)
    cluster = switched()
    if lost == "serving":
        del ready["serving"]
    cluster.set_status(ready)
    cluster.answers.clear()
    asked = [action.subject for action in cluster.plan().actions if isinstance(action, Ask)]
    assert asked == [f"service/{cluster.rollout_of('v2')}"]


def test_a_status_that_was_wiped_is_ready_again_once_the_service_has_answered() -> None:
    cluster = a_settled_cluster()
    cluster.wipe_status()
    cluster.answers.clear()
    cluster.reconcile()
    cluster.wipe_status()
    cluster.reconcile()
    assert cluster.condition("Ready")["status"] == "True"


def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    cluster = switched()
    rollout = cluster.rollout_of("v1")
    pointer = naming.pointer_name("chat", rollout)
    while cluster.pods(rollout):
        cluster.turn()
    assert written(cluster.plan().actions) == [f"-{pointer}"]
    leaving = cluster.one("ConfigMap", pointer)
    cluster.change(leaving, lambda copy: copy["metadata"].update(deletionTimestamp="2026-01-01T12:00:00Z"))
    assert written(cluster.plan().actions) == []


def test_a_version_whose_files_are_forgotten_is_not_given_those_of_the_next() -> None:
    cluster = a_settled_cluster()
    rollout = cluster.rollout_of("v1")
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    cluster.remove(cluster.one("ControllerRevision", naming.colour_name("chat", rollout)))
    cluster.remove(cluster.one("ConfigMap", naming.pointer_name("chat", rollout)))
    assert written(cluster.plan().actions) == []


def test_a_version_whose_files_are_forgotten_and_unknown_goes_on_serving() -> None:
    cluster = a_settled_cluster()
    rollout = cluster.rollout_of("v1")
    cluster.remove(cluster.one("ControllerRevision", naming.colour_name("chat", rollout)))
    cluster.remove(cluster.one("ConfigMap", naming.pointer_name("chat", rollout)))
    cluster.remove(cluster.one("ModelVersion", "v1"))
    assert written(cluster.plan().actions) == []


def test_no_third_version_is_made_in_an_overlap_or_beside_one_that_has_no_pods_yet() -> None:
    overlap = both_serve()
    begun_twice = begun(JOURNEYS["another version"])
    begun_twice.reconcile()
    for cluster in (overlap, begun_twice):
        cluster.edit(modelVersion="v3")
        made = [action for action in cluster.plan().actions if isinstance(action, Create)]
        assert made == []


def test_pods_that_a_lost_node_keeps_leave_room_for_two_versions_and_no_third() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.trouble = {"v2": STARTING, "v3": STARTING}
    cluster.turn()
    second = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.edit(modelVersion="v3")
    while cluster.find("ReplicaSet", second):
        cluster.reconcile()
        cluster.pass_time(seconds=3)
    for pod in cluster.pods()[1:]:
        cluster.change(pod, lambda copy: copy["metadata"].update(deletionTimestamp="2026-01-01T12:00:00Z"))
    cluster.pass_time(minutes=1)
    cluster.reconcile()
    assert cluster.versions() == ["v1", "v3"]
    cluster.edit(modelVersion="v2")
    assert second not in written(cluster.plan().actions)
    for _ in range(2):
        cluster.reconcile()
    assert cluster.versions() == ["v1"]
    cluster.reconcile()
    assert cluster.versions() == ["v1", "v2"]
    assert cluster.find("ReplicaSet", second) is None


def test_a_version_that_is_gone_back_to_gets_no_pods_before_those_of_a_third_are_gone() -> None:
    cluster = switched()
    first = naming.colour_name("chat", cluster.rollout_of("v1"))
    while cluster.find("ReplicaSet", first):
        cluster.reconcile()
        cluster.pass_time(seconds=3)
    for pod in cluster.pods():
        if cluster.served(pod) == "v1":
            cluster.change(pod, lambda copy: copy["metadata"].update(deletionTimestamp=timestamp(NOW)))
    cluster.trouble["v3"] = STARTING
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    assert cluster.versions() == ["v2", "v3"]
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert cluster.versions() == ["v2", "v3"]
    cluster.settle()
    assert (cluster.versions(), cluster.answering()) == (["v1"], {"v1"})


def test_who_serves_is_healed_while_two_others_are_in_the_way() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.reconcile()
    cluster.edit(modelVersion="v1")
    serving = naming.colour_name("chat", cluster.rollout_of("v1"))
    cluster.remove(cluster.one("ReplicaSet", serving))
    assert serving in written(cluster.plan().actions)


def test_of_two_records_of_one_target_the_one_that_serves_is_it() -> None:
    cluster = a_settled_cluster()
    record = thawed(cluster.of_kind("ControllerRevision")[0])
    del record["metadata"]["annotations"][naming.OUTCOME]
    for id, created in (("00000000", "2025-01-01T00:00:00Z"), ("ffffffff", "2027-01-01T00:00:00Z")):
        record["metadata"] |= {"name": f"chat-{id}", "uid": f"uid-{id}", "creationTimestamp": created}
        cluster.put(record)
    cluster.reconcile()
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.versions() == ["v1"]
