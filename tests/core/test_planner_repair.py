"""What others do to the children by hand, and how it is put right without replacing a pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.builders import DEFAULTS, STARTING, ADeployment, a_pod
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.invariants import check_labels
from tests.core.journeys import JOURNEYS, a_cluster, a_settled_cluster, begun, moments

from sluicegate.core import naming
from sluicegate.core.objects import Ref, annotation
from sluicegate.core.plan import Apply, Create, Delete, Replace

EDITS: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "the Service's selector": ("Service", ("spec", "selector", naming.ROLLOUT), "00000000"),
    "the Service's ports": ("Service", ("spec", "ports"), []),
    "the noted exposure": ("Service", ("metadata", "annotations", naming.EXPOSES), "nonsense"),
    "the time of the exposure": ("Service", ("metadata", "annotations", naming.EXPOSED_SINCE), "yesterday"),
    "a time to come": (
        "Service",
        ("metadata", "annotations", naming.EXPOSED_SINCE),
        "2999-01-01T00:00:00+00:00",
    ),
    "a time without a zone": (
        "Service",
        ("metadata", "annotations", naming.EXPOSED_SINCE),
        "2026-01-01T00:00:00",
    ),
    "the number of replicas": ("ReplicaSet", ("spec", "replicas"), 7),
    "the pod template": ("ReplicaSet", ("spec", "template", "spec", "enableServiceLinks"), True),
    "the label that names the rollout": ("ReplicaSet", ("metadata", "labels", naming.ROLLOUT), "0badc0de"),
    "the label that names the target": ("ReplicaSet", ("metadata", "labels", naming.TARGET), "x.y"),
    "the record's label": ("ControllerRevision", ("metadata", "labels", naming.TARGET), "x.y"),
    "the record's rollout": ("ControllerRevision", ("metadata", "labels", naming.ROLLOUT), "0badc0de"),
    "the pointer's text": ("ConfigMap", ("data", "pointer.json"), "{"),
    "the pointer's rollout": ("ConfigMap", ("metadata", "labels", naming.ROLLOUT), "0badc0de"),
    "the control token": ("Secret", ("data", "token"), "bm8="),
    "the disruption budget": ("PodDisruptionBudget", ("spec", "maxUnavailable"), 5),
    "the budget's note": ("PodDisruptionBudget", ("metadata", "annotations", naming.EXPOSES), "0badc0de"),
    "the network policy": ("NetworkPolicy", ("spec", "ingress"), []),
    "the owner": ("NetworkPolicy", ("metadata", "ownerReferences"), []),
    "the intent's hash": ("Secret", ("metadata", "annotations", naming.INTENT), "0"),
}


@pytest.mark.parametrize(("kind", "path", "value"), EDITS.values(), ids=EDITS)
def test_an_edit_by_hand_is_taken_back_and_no_pod_is_replaced(
    kind: str, path: tuple[str, ...], value: Any
) -> None:
    cluster = a_settled_cluster()
    pods, written = [pod["metadata"]["uid"] for pod in cluster.pods()], len(cluster.log)
    intact = _content(_child(cluster, kind), path[0])
    cluster.take_over(_child(cluster, kind), *path, value=value)
    plan = cluster.settle()
    assert not plan.actions
    repairs = cluster.log[written:]
    assert repairs
    assert all(isinstance(repair, Apply) for repair in repairs)
    if (kind, path[0]) != ("Service", "metadata"):
        assert _content(_child(cluster, kind), path[0]) == intact
    assert [pod["metadata"]["uid"] for pod in cluster.pods()] == pods
    assert cluster.answering() == {"v1"}


def _child(cluster: Cluster, kind: str) -> dict[str, Any]:
    return cluster.service if kind == "Service" else cluster.of_kind(kind)[0]


def _content(obj: dict[str, Any], part: str) -> Any:
    if part != "metadata":
        return obj[part]
    meta = obj["metadata"]
    return {key: meta.get(key) for key in ("labels", "annotations", "ownerReferences")}


@pytest.mark.parametrize(("kind", "path", "value"), EDITS.values(), ids=EDITS)
def test_an_edit_in_the_middle_of_a_cutover_delays_it_at_most(
    kind: str, path: tuple[str, ...], value: Any
) -> None:
    for moment in list(moments(begun(JOURNEYS["another version"])))[::2]:
        if moment.of_kind(kind):
            moment.take_over(_child(moment, kind), *path, value=value)
        moment.settle()
        assert moment.versions() == ["v2"]
        assert moment.answering() == {"v2"}


KINDS = (
    "Service",
    "Secret",
    "ConfigMap",
    "ReplicaSet",
    "ControllerRevision",
    "PodDisruptionBudget",
    "NetworkPolicy",
)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ControllerRevision"])
def test_what_others_added_is_dropped_by_a_replace_and_no_pod_is_replaced(kind: str) -> None:
    cluster = a_settled_cluster()
    pods, written = cluster.pods(), len(cluster.log)
    for obj in cluster.of_kind(kind):
        cluster.add_beside(obj)
    cluster.settle()
    assert {type(action) for action in cluster.log[written:]} == {Replace}
    assert cluster.pods() == pods


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_that_is_on_its_way_out_is_made_again_only_when_it_is_gone(kind: str) -> None:
    cluster = a_settled_cluster()
    obj = cluster.of_kind(kind)[0]
    cluster.take_over(obj, "metadata", "labels", value={})
    cluster.change(obj, lambda copy: copy["metadata"].update(deletionTimestamp="2026-01-01T12:00:00Z"))
    name = obj["metadata"]["name"]
    assert all(action.manifest["metadata"]["name"] != name for action in _writes_of(cluster, kind))
    cluster.remove(obj)
    assert [type(action) for action in _writes_of(cluster, kind)] == [Create]


def _writes_of(cluster: Cluster, kind: str) -> list[Any]:
    writes = [each for each in cluster.plan().actions if isinstance(each, Create | Apply | Replace)]
    return [each for each in writes if each.manifest["kind"] == kind]


def test_the_service_is_written_only_as_it_was_seen() -> None:
    cluster = a_settled_cluster()
    cluster.take_over(cluster.service, "spec", "selector", naming.ROLLOUT, value="00000000")
    (repair,) = cluster.plan().actions
    assert isinstance(repair, Apply)
    assert repair.resource_version == cluster.service["metadata"]["resourceVersion"]


def test_new_pods_are_put_right_while_pods_of_a_third_version_have_yet_to_go() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2")
    cluster.turn()
    left = thawed(cluster.of_kind("ConfigMap")[0])
    left["metadata"] |= {"name": naming.pointer_name("chat", "0badc0de"), "uid": "uid-left"}
    cluster.put(left)
    cluster.put(a_pod("left", rollout="0badc0de"))
    name = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.take_over(cluster.one("ReplicaSet", name), "spec", "replicas", value=7)
    cluster.reconcile()
    assert cluster.one("ReplicaSet", name)["spec"]["replicas"] == 1


def test_other_children_are_written_only_as_they_were_seen() -> None:
    cluster = a_settled_cluster()
    cluster.take_over(cluster.one("NetworkPolicy", "chat"), "spec", "ingress", value=[])
    (repair,) = cluster.plan().actions
    assert isinstance(repair, Apply)
    assert repair.resource_version == cluster.one("NetworkPolicy", "chat")["metadata"]["resourceVersion"]


def test_a_pointer_is_never_written_over_what_another_writer_decided_meanwhile() -> None:
    cluster = a_settled_cluster()
    (pointer,) = cluster.of_kind("ConfigMap")
    cluster.take_over(pointer, "data", "pointer.json", value="{}")
    (repair,) = cluster.plan().actions
    assert isinstance(repair, Apply)
    assert repair.resource_version == cluster.of_kind("ConfigMap")[0]["metadata"]["resourceVersion"]


def test_a_label_edited_into_that_of_the_other_colour_deletes_nothing_that_serves() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.turn()
    blue, green = (cluster.rollout_of(version) for version in ("v1", "v2"))
    cluster.take_over(
        cluster.one("ReplicaSet", f"chat-{blue}"), "metadata", "labels", naming.ROLLOUT, value=green
    )
    plan = cluster.reconcile()
    assert not any(isinstance(action, Delete) for action in plan.actions)
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_pods_orphaned_in_the_overlap_go_on_serving() -> None:
    cluster = begun(JOURNEYS["another version"])
    while annotation(cluster.service, naming.EXPOSES) != naming.EVERY_ROLLOUT:
        cluster.turn()
    for replica_set in cluster.of_kind("ReplicaSet"):
        cluster.remove(replica_set)
    for _ in range(3):
        cluster.reconcile()
        assert cluster.answering() != set()


def test_a_lost_record_is_restored_from_the_pods_as_they_are() -> None:
    cluster = a_settled_cluster()
    record = cluster.of_kind("ControllerRevision")[0]
    cluster.remove(record)
    cluster.defaults = replace(DEFAULTS, cpu_image="engine-cpu:2", store_image="sluicegate:2")
    cluster.settle()
    assert cluster.of_kind("ControllerRevision")[0]["data"] == record["data"]


def test_a_lost_record_names_the_fields_that_asked_for_it_only_where_the_spec_still_does() -> None:
    cluster = a_settled_cluster()
    (record,) = cluster.of_kind("ControllerRevision")
    name = record["metadata"]["name"]
    cluster.remove(record)
    elsewhere = cluster.fork()
    elsewhere.edit(modelVersion="v2")
    for each in (cluster, elsewhere):
        each.reconcile()
    assert cluster.one("ControllerRevision", name)["data"] == record["data"]
    assert "spec" not in elsewhere.one("ControllerRevision", name)["data"]
    # when it is asked for again, which cannot be written on the record any more
    elsewhere.edit(modelVersion="v1")
    elsewhere.settle()
    assert elsewhere.answering() == {"v1"}


def test_a_record_of_what_is_over_stays_as_somebody_edited_it() -> None:
    cluster = a_settled_cluster()
    (first,) = cluster.of_kind("ControllerRevision")
    cluster.edit(modelVersion="v2")
    cluster.settle()
    cluster.take_over(first, "metadata", "labels", naming.TARGET, value="x.y")
    assert cluster.plan().actions == ()


@pytest.mark.parametrize("text", ["{", "[]", "null", '"x"'])
def test_an_unreadable_pointer_without_its_record_is_written_again_for_the_target(text: str) -> None:
    cluster = a_settled_cluster()
    intact = cluster.of_kind("ConfigMap")[0]["data"]
    cluster.remove(cluster.of_kind("ControllerRevision")[0])
    cluster.take_over(cluster.of_kind("ConfigMap")[0], "data", "pointer.json", value=text)
    cluster.settle()
    assert cluster.of_kind("ConfigMap")[0]["data"] == intact
    assert cluster.condition("Ready")["status"] == "True"


def test_a_colour_of_which_too_little_is_left_is_left_alone_while_another_is_made() -> None:
    cluster = a_settled_cluster()
    for kind in ("ControllerRevision", "ReplicaSet"):
        cluster.remove(cluster.of_kind(kind)[0])
    cluster.settle()
    assert cluster.versions() == ["v1"]
    assert len(cluster.of_kind("ConfigMap")) == 1
    assert all(record["data"]["template"] for record in cluster.of_kind("ControllerRevision"))


def test_what_was_good_last_is_told_though_nothing_but_its_record_is_left() -> None:
    cluster = a_settled_cluster()
    good = cluster.status["lastGood"]
    for kind in ("ReplicaSet", "ConfigMap", "Pod"):
        cluster.remove(cluster.of_kind(kind)[0])
    cluster.edit(modelVersion="unknown", rollout={"historyLimit": 0})
    cluster.settle()
    assert "serving" not in cluster.status
    assert cluster.status["lastGood"] == good


def test_an_object_named_like_a_colour_but_not_quite_is_none_of_ours() -> None:
    cluster = a_settled_cluster()
    stray = {**cluster.of_kind("ConfigMap")[0]}
    stray["metadata"] = {**stray["metadata"], "name": "chat-notes", "uid": "uid-stray"}
    cluster.put(stray)
    assert cluster.plan().actions == ()


def test_an_operator_with_other_default_images_does_nothing_at_all() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.defaults = replace(DEFAULTS, cuda_image="x:2", cpu_image="y:2", store_image="z:2")
    plan = cluster.reconcile()
    assert plan.actions == ()
    assert plan.events == ()


def test_an_operator_with_other_default_images_uses_them_for_the_next_colour() -> None:
    cluster = a_settled_cluster()
    cluster.defaults = replace(DEFAULTS, cpu_image="y:2")
    cluster.edit(modelVersion="v2")
    cluster.settle()
    engine = cluster.of_kind("ReplicaSet")[0]["spec"]["template"]["spec"]["containers"][0]
    assert engine["image"] == "y:2"


def test_an_operator_in_another_namespace_changes_the_network_policy_alone() -> None:
    cluster = a_settled_cluster()
    cluster.defaults = replace(DEFAULTS, operator_namespace="elsewhere")
    (action,) = cluster.plan().actions
    assert isinstance(action, Apply)
    assert action.manifest["kind"] == "NetworkPolicy"


@pytest.mark.parametrize(
    ("version", "kind", "name"),
    [
        ("v1", "Service", "chat"),
        ("v1", "Service", "chat-preview"),
        ("v1", "Secret", "chat-control"),
        ("v1", "PodDisruptionBudget", "chat"),
        ("v1", "NetworkPolicy", "chat"),
    ],
)
def test_a_foreign_object_with_a_childs_name_is_told_of_and_left_alone(
    version: str, kind: str, name: str
) -> None:
    cluster = a_cluster()
    cluster.foreign[Ref(version, kind, "models", name)] = "belongs to Deployment web"
    for taken in list(cluster.foreign):
        api = {"PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}.get(kind, "v1")
        cluster.foreign = {replace(taken, api_version=api): "belongs to Deployment web"}
    for _ in range(6):
        cluster.turn()
    ready, stalled = cluster.condition("Ready"), cluster.condition("Stalled")
    assert (ready["status"], ready["reason"]) == ("False", "NameConflict")
    assert stalled["status"] == "True"
    assert f"{kind} models/{name}" in ready["message"]
    assert "belongs to Deployment web" in ready["message"]
    assert cluster.find(kind, name) is None
    cluster.foreign.clear()
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Stalled") == {}


def test_the_longest_name_gives_legal_names_and_labels() -> None:
    cluster = a_cluster(ADeployment("m" * 50).with_spec(modelVersion="v1"))
    for _ in range(6):
        check_labels(cluster.turn())
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert max(len(each["metadata"]["name"]) for each in cluster.of_kind("Service")) <= 63


def test_two_deployments_whose_names_begin_alike_have_no_child_in_common() -> None:
    names = []
    for name in ("chat", "chat-b", "chat-bb"):
        cluster = a_settled_cluster(ADeployment(name))
        names += [str(where) for where in cluster.objects if where.kind not in ("Pod", "ModelVersion")]
    assert len(set(names)) == len(names)


def test_pods_that_are_on_their_way_out_are_waited_for() -> None:
    cluster = a_settled_cluster()
    (serving,) = cluster.of_kind("ReplicaSet")
    labels = {**serving["metadata"]["labels"], naming.ROLLOUT: "0badc0de"}
    metadata = {**serving["metadata"], "name": "chat-0badc0de", "uid": "uid-old", "labels": labels}
    cluster.put({**serving, "metadata": {**metadata, "deletionTimestamp": "2026-01-01T12:00:00Z"}})
    cluster.pass_time(seconds=60)
    assert not [action for action in cluster.plan().actions if isinstance(action, Delete)]
