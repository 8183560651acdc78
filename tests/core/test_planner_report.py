"""What the status and the events of a deployment say on the way."""

from __future__ import annotations

import pytest
from tests.builders import ADeployment, ended
from tests.core.cluster import Cluster
from tests.core.journeys import JOURNEYS, Journey, a_cluster, a_settled_cluster, begun

from sluicegate.core.addresses import pod_url
from sluicegate.core.plan import Ask, Event, Inquire


def told(cluster: Cluster, passes: int = 25) -> list[Event]:
    events: list[Event] = []
    for _ in range(passes):
        events += [*cluster.reconcile().events, *cluster.turn().events]
    return events


def test_the_first_apply_tells_each_step_once() -> None:
    events = told(a_cluster())
    assert [(event.type, event.reason) for event in events] == [
        ("Normal", "Provisioning"),
        ("Normal", "Verifying"),
        ("Normal", "Serving"),
    ]


def test_another_version_tells_each_step_once() -> None:
    events = told(begun(JOURNEYS["another version"]))
    assert [event.reason for event in events] == [
        "Provisioning",
        "Verifying",
        "Cutover",
        "Draining",
        "Serving",
    ]
    assert {event.type for event in events} == {"Normal"}


def test_a_third_version_is_told_though_the_step_is_the_same() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.trouble = {"v2": {"conditions": []}, "v3": {"conditions": []}}
    told(cluster, 3)
    cluster.edit(modelVersion="v3")
    events = told(cluster, 6)
    assert [(event.type, event.reason, event.message[:2]) for event in events] == [
        ("Normal", "Provisioning", "v3")
    ]


def test_losing_and_regaining_the_only_pod_is_told_once_each() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v1"] = ended("boom", restarts=2)
    cluster.run_pods()
    assert [(event.type, event.reason) for event in told(cluster, 5)] == [
        ("Warning", "EngineCrashLooping"),
        ("Warning", "EngineCrashLooping"),
    ]
    cluster.trouble.clear()
    assert [(event.type, event.reason) for event in told(cluster, 5)] == [("Normal", "Serving")]


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS)
def test_the_same_world_seen_twice_is_told_once(journey: Journey) -> None:
    cluster = begun(journey)
    for _ in range(15):
        if not cluster.reconcile().actions:
            assert cluster.plan().events == ()
        cluster.run_pods()
        cluster.pass_time(seconds=1.1)


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS)
def test_a_transition_time_changes_only_with_the_status(journey: Journey) -> None:
    cluster = begun(journey)
    before: dict[str, dict[str, str]] = {}
    for _ in range(20):
        cluster.turn()
        for condition in cluster.status["conditions"]:
            last = before.get(condition["type"])
            if last and last["status"] == condition["status"]:
                assert last["lastTransitionTime"] == condition["lastTransitionTime"]
        before = {each["type"]: each for each in cluster.status["conditions"]}


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS)
def test_the_status_names_a_version_only_while_it_answers(journey: Journey) -> None:
    cluster = begun(journey)
    for _ in range(20):
        cluster.reconcile()
        if "serving" in cluster.status:
            assert cluster.status["serving"]["version"] in {
                cluster.version_of(pod["metadata"]["labels"]["sluicegate.dev/rollout"])
                for pod in cluster.pods()
            }
        cluster.run_pods()
        cluster.pass_time(seconds=1.1)


def test_ready_speaks_of_this_generation_alone() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    assert cluster.condition("Ready")["status"] == "False"
    assert cluster.status["observedGeneration"] == cluster.condition("Ready")["observedGeneration"] == 2


def test_the_rollout_names_where_it_comes_from_and_goes_to() -> None:
    cluster = begun(JOURNEYS["another version"])
    steps = []
    cluster.reconcile()
    for _ in range(20):
        cluster.wipe_status()
        cluster.reconcile()
        moving = cluster.status.get("rollout")
        if moving:
            assert (moving["fromVersion"], moving["toVersion"]) == ("v1", "v2")
            steps.append(moving["step"])
        cluster.turn()
    assert list(dict.fromkeys(steps)) == ["Provisioning", "Verifying", "Cutover", "Draining"]


def test_the_step_keeps_its_beginning() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.trouble["v2"] = {"conditions": []}
    cluster.reconcile()
    cluster.turn()
    begun_at = cluster.status["rollout"]["stepStartedAt"]
    told(cluster, 5)
    assert cluster.status["rollout"]["stepStartedAt"] == begun_at


def test_a_long_message_is_cut_to_a_kibibyte() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v1"] = ended("ä" * 4000, restarts=2)
    cluster.run_pods()
    plan = cluster.reconcile()
    assert 1000 < len(cluster.condition("Ready")["message"].encode()) <= 1024
    assert all(len(event.message.encode()) <= 1024 for event in plan.events)


def test_superseding_a_draining_rollout_is_no_alarm() -> None:
    cluster = begun(JOURNEYS["another version"])
    while cluster.answering() != {"v2"}:
        cluster.turn()
    cluster.reconcile()
    cluster.pass_time(milliseconds=1)
    cluster.reconcile()
    cluster.edit(modelVersion="v3")
    plan = cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Superseded"
    assert [event.type for event in plan.events] == []


def test_asking_goes_to_the_services_and_inquiring_to_the_pods() -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.settle()
    asked = [action for action in cluster.log if isinstance(action, Ask)]
    inquired = [action for action in cluster.log if isinstance(action, Inquire)]
    assert {ask.url for ask in asked} == {"http://10.96.0.7"}
    assert {ask.model for ask in asked} == {"chat"}
    assert {inquiry.url for inquiry in inquired} >= {pod_url(pod, 9401) for pod in cluster.pods()}
    assert {inquiry.url.rpartition(":")[2] for inquiry in inquired} == {"9401"}
    assert all(len(inquiry.token) == 64 for inquiry in inquired)
    assert [ask.subject.partition("/")[0] for ask in asked] == ["preview", "service"] * 2


def test_addresses_of_the_sixth_protocol_are_bracketed() -> None:
    cluster = a_cluster(ADeployment().with_spec(servedModelName="org/chat"))
    cluster.turn()
    for name in ("chat", "chat-preview"):
        cluster.change(cluster.one("Service", name), lambda copy: copy["spec"].update(clusterIP="fd00::7"))
    cluster.set_pod(cluster.pods()[0], {**cluster.pods()[0]["status"], "podIP": "fd00::9"})
    inquire, ask = (each for each in cluster.plan().actions if isinstance(each, Ask | Inquire))
    assert isinstance(inquire, Inquire)
    assert isinstance(ask, Ask)
    assert (inquire.url, ask.url, ask.model) == ("http://[fd00::9]:9401", "http://[fd00::7]", "org/chat")


def test_nothing_without_an_address_is_asked() -> None:
    cluster = a_cluster()
    cluster.turn()
    cluster.change(cluster.one("Service", "chat-preview"), lambda copy: copy["spec"].pop("clusterIP"))
    cluster.set_pod(cluster.pods()[0], {"conditions": cluster.pods()[0]["status"]["conditions"], "podIP": ""})
    assert not [each for each in cluster.plan().actions if isinstance(each, Ask | Inquire)]


def test_columns_and_address_are_filled_in() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    status = cluster.status
    assert status["url"] == "http://chat.models.svc/v1"
    assert status["replicaSummary"] == "2/2"
    assert status["selector"] == "sluicegate.dev/deployment=chat"
    assert status["target"] == status["serving"]["version"] == "v1"
    assert status["lastGood"] == status["serving"]
    assert status["lastGood"]["rollout"] == cluster.rollout_of("v1")
