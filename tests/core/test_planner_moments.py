"""Single moments of a rollout: what is done at exactly this one, and when the planner looks again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.builders import READY, STARTING, ADeployment
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import JOURNEYS, a_cluster, a_settled_cluster, begun

from sluicegate.core import naming
from sluicegate.core.conditions import timestamp
from sluicegate.core.control import RETRY
from sluicegate.core.objects import uid
from sluicegate.core.observed import Answer, RuntimeStatus
from sluicegate.core.plan import Action, Apply, Ask, Create, Delete, Inquire
from sluicegate.core.rollout import OVERLAP, PROPAGATION

SHORT = timedelta(milliseconds=1)


def serving_first() -> Cluster:
    """The moment at which the Service has begun to select the first version."""
    cluster = a_cluster()
    cluster.reconcile()
    while cluster.answering() != {"v1"}:
        cluster.run_pods()
        cluster.reconcile()
    return cluster


def until(selected: set[str]) -> Cluster:
    """The moment at which the Service has just begun to select these versions, on the way from v1 to v2."""
    cluster = begun(JOURNEYS["another version"])
    for _ in range(20):
        plan = cluster.reconcile()
        if cluster.answering() == selected:
            return cluster
        cluster.run_pods()
        if not plan.actions:
            cluster.now += plan.requeue_after or timedelta(0)
    raise AssertionError(f"they never serve: {selected}")


def with_ready_pods() -> Cluster:
    """Version v1 serves, and the pods of v2 have just become ready."""
    cluster = begun(JOURNEYS["another version"])
    cluster.reconcile()
    cluster.run_pods()
    return cluster


def written(actions: tuple[Action, ...]) -> list[str]:
    return [action.manifest["kind"] for action in actions if isinstance(action, Create | Apply)]


def test_the_overlap_ends_after_a_second_and_not_before() -> None:
    cluster = until({"v1", "v2"})
    assert cluster.plan().requeue_after == OVERLAP
    cluster.now += OVERLAP - SHORT
    assert cluster.plan().actions == ()
    assert cluster.plan().requeue_after == SHORT
    cluster.now += SHORT
    cluster.reconcile()
    assert cluster.answering() == {"v2"}


def test_the_version_before_goes_two_seconds_after_the_overlap_and_not_before() -> None:
    cluster = until({"v2"})
    cluster.reconcile()
    assert cluster.plan().requeue_after == PROPAGATION
    cluster.now += PROPAGATION - SHORT
    assert cluster.plan().actions == ()
    assert cluster.plan().requeue_after == SHORT
    cluster.now += SHORT
    assert [type(action) for action in cluster.reconcile().actions] == [Apply]
    assert [type(action) for action in cluster.plan().actions] == [Delete]
    assert cluster.plan().requeue_after is None


def test_a_deletion_that_was_decided_on_before_is_refused_once_the_pods_are_wanted_again() -> None:
    cluster = until({"v2"})
    cluster.now += PROPAGATION
    cluster.reconcile()
    (decided,) = cluster.plan().actions
    assert isinstance(decided, Delete)
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    kept = cluster.one("ReplicaSet", decided.ref.name)
    assert naming.RETIRED not in kept["metadata"]["annotations"]
    assert kept["metadata"]["resourceVersion"] != decided.resource_version


def test_nothing_goes_while_the_overlap_lasts_however_long() -> None:
    cluster = until({"v1", "v2"})
    left = thawed(cluster.of_kind("ConfigMap")[0])
    left["metadata"] |= {"name": naming.pointer_name("chat", "0badc0de"), "uid": "uid-left"}
    cluster.put(left)
    cluster.trouble["v2"] = STARTING
    cluster.run_pods()
    cluster.now += timedelta(minutes=1)
    assert not [action for action in cluster.plan().actions if isinstance(action, Delete)]


def test_the_disruption_budget_stays_with_the_version_before_while_both_serve() -> None:
    cluster = until({"v1", "v2"})
    budget = cluster.of_kind("PodDisruptionBudget")
    assert "PodDisruptionBudget" not in written(cluster.plan().actions)
    cluster.reconcile()
    assert cluster.of_kind("PodDisruptionBudget") == budget


def test_the_preview_shows_who_serves_where_there_is_nothing_to_be_asked() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="unknown")
    cluster.settle()
    preview = cluster.one("Service", naming.preview_name(cluster.name))
    assert preview["spec"]["selector"][naming.ROLLOUT] == cluster.rollout_of("v1")


def test_a_question_is_asked_again_after_half_a_second_and_not_before() -> None:
    cluster = with_ready_pods()
    cluster.lies["v2"] = "!no"
    cluster.reconcile()
    assert cluster.plan().actions == ()
    assert cluster.plan().requeue_after == RETRY
    cluster.now += RETRY - SHORT
    assert cluster.plan().actions == ()
    cluster.now += SHORT
    assert [type(action) for action in cluster.plan().actions] == [Ask]


def test_pods_that_answered_right_are_not_asked_again_and_the_others_are() -> None:
    cluster = with_ready_pods()
    cluster.reconcile()
    pod = cluster.pods(cluster.rollout_of("v2"))[0]
    cluster.runtimes[uid(pod)] = RuntimeStatus(cluster.now, None, True, 0, "no answer")
    cluster.now += RETRY
    assert [type(action) for action in cluster.plan().actions] == [Inquire]


def test_an_answer_with_an_error_counts_for_nothing_whatever_else_it_says() -> None:
    cluster = with_ready_pods()
    cluster.reconcile()
    rollout, pod = cluster.rollout_of("v2"), cluster.pods(cluster.rollout_of("v2"))[0]
    answers, runtimes = dict(cluster.answers), dict(cluster.runtimes)
    subject, heard = f"preview/{rollout}", runtimes[uid(pod)]
    assert "Service" in written(cluster.plan().actions)

    cluster.answers[subject] = Answer(cluster.now, "v2", "the body ended early")
    assert written(cluster.plan().actions) == []

    cluster.answers = answers
    cluster.runtimes[uid(pod)] = RuntimeStatus(cluster.now, heard.digest, True, 0, "the weights are poisoned")
    assert written(cluster.plan().actions) == []
    assert "poisoned" in str(cluster.plan().status)


SOON = PROPAGATION - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("before_ready", "since_ready", "said", "reason"),
    [
        (timedelta(0), timedelta(0), "!the connection was refused", "Verifying"),
        (timedelta(0), SOON, "!the connection was refused", "Verifying"),
        (timedelta(0), PROPAGATION, "!the connection was refused", "AnswerFailed"),
        (PROPAGATION, SOON, "!the connection was refused", "Verifying"),
        (PROPAGATION, PROPAGATION, "!the connection was refused", "AnswerFailed"),
        (timedelta(0), timedelta(0), "v1", "Verifying"),
        (timedelta(0), PROPAGATION, "v1", "AnswerFailed"),
        (PROPAGATION, SOON, "v1", "AnswerFailed"),
    ],
    ids=[
        "refused at once",
        "refused soon",
        "refused when kube-proxy knows",
        "refused soon by pods that the Service had long selected",
        "refused when kube-proxy knows pods that the Service had long selected",
        "another version at once",
        "another version when kube-proxy knows",
        "another version though the Service had long selected these pods alone",
    ],
)
def test_what_answers_before_kube_proxy_knows_pods_and_preview_service_is_no_failure(
    before_ready: timedelta, since_ready: timedelta, said: str, reason: str
) -> None:
    cluster = begun(JOURNEYS["another version"])
    cluster.now = cluster.now.replace(microsecond=0)
    cluster.reconcile()
    cluster.now += before_ready
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(cluster.now)}
    cluster.trouble["v2"] = {**READY, "conditions": [ready]}
    cluster.lies["v2"] = said
    cluster.run_pods()
    cluster.now += since_ready
    cluster.reconcile()
    cluster.reconcile()
    condition = cluster.condition("Ready")
    assert condition["reason"] == reason
    assert cluster.condition("Stalled") == {}


@pytest.mark.parametrize(
    ("since_moved", "reason"),
    [(timedelta(seconds=0.5), "AwaitingAnswer"), (PROPAGATION, "AnswerFailed")],
    ids=["while kube-proxy follows", "when it has followed"],
)
def test_an_old_pod_that_answers_right_after_the_switch_is_no_failure(
    since_moved: timedelta, reason: str
) -> None:
    cluster = until({"v2"})
    cluster.now += since_moved
    cluster.lies["v2"] = "v1"
    cluster.reconcile()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == reason


def test_the_first_version_is_the_last_good_one_as_soon_as_it_serves() -> None:
    cluster = serving_first()
    cluster.reconcile()
    assert cluster.status["lastGood"] == cluster.status["serving"]


@pytest.mark.parametrize("turns", range(6))
def test_the_order_of_conditions_in_the_status_says_nothing(turns: int) -> None:
    cluster = begun(JOURNEYS["another version"])
    for _ in range(turns):
        cluster.turn()
    before = cluster.plan()
    status = thawed(cluster.status)
    cluster.set_status({**status, "conditions": status["conditions"][::-1]})
    assert cluster.plan() == before


def test_the_deadline_counts_from_the_making_of_the_pods() -> None:
    cluster = a_settled_cluster()
    cluster.now = cluster.now.replace(microsecond=0) + timedelta(hours=1)
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    cluster.run_pods()
    cluster.pass_time(seconds=10)
    assert cluster.plan().requeue_after == timedelta(minutes=30, seconds=-10)
    cluster.remove(cluster.one("ReplicaSet", naming.colour_name("chat", cluster.rollout_of("v2"))))
    assert cluster.plan().requeue_after == timedelta(minutes=30, seconds=-10)
    cluster.reconcile()
    assert cluster.plan().requeue_after == timedelta(minutes=30)


def test_pods_that_are_late_without_a_reason_are_told_of_without_one() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2")
    cluster.turn()
    cluster.pass_time(minutes=30)
    cluster.settle()
    late = cluster.status["history"][0]["message"]
    assert late == "v2 is not ready within rollout.progressDeadlineSeconds (1800)"


def test_the_order_of_conditions_says_nothing_while_an_answer_is_awaited() -> None:
    cluster = until({"v2"})
    cluster.reconcile()
    cluster.answers.clear()
    before = cluster.plan()
    status = thawed(cluster.status)
    cluster.set_status({**status, "conditions": status["conditions"][::-1]})
    assert [action for action in before.actions if isinstance(action, Ask)]
    assert cluster.plan() == before


def test_no_pod_is_asked_before_all_are_ready() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    cluster.run_pods()
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], STARTING)
    assert cluster.plan().actions == ()


def test_nobody_is_asked_when_nobody_is_wanted() -> None:
    cluster = a_settled_cluster()
    cluster.edit(replicas=0)
    cluster.wipe_status()
    cluster.answers.clear()
    assert not [action for action in cluster.plan().actions if isinstance(action, Ask)]


def test_the_service_moves_at_once_where_nobody_serves_or_nobody_is_to() -> None:
    broken = with_ready_pods()
    for pod in broken.pods(broken.rollout_of("v1")):
        broken.set_pod(pod, STARTING)
    unwanted = begun(JOURNEYS["another version and down to zero"])
    for cluster in (broken, unwanted):
        cluster.reconcile()
        cluster.reconcile()
        assert cluster.service["spec"]["selector"][naming.ROLLOUT] == cluster.rollout_of("v2")


def test_the_version_before_goes_though_nobody_is_wanted_of_the_next() -> None:
    cluster = begun(JOURNEYS["another version at zero"])
    cluster.settle()
    assert cluster.versions() == ["v2"]


@pytest.mark.parametrize(
    ("minutes", "ready"),
    [(0, "True"), (5, "False"), (11, "True")],
    ids=["since then", "before it", "after all"],
)
def test_an_answer_counts_if_it_came_after_ready_was_lost_though_a_clock_was_set_back(
    minutes: int, ready: str
) -> None:
    cluster = a_settled_cluster()
    status = thawed(cluster.status)
    lost = timestamp(cluster.now + timedelta(minutes=10))
    status["conditions"][0] |= {"status": "False", "reason": "NoReadyReplicas", "lastTransitionTime": lost}
    cluster.set_status(status)
    subject = f"service/{cluster.rollout_of('v1')}"
    cluster.answers[subject] = Answer(cluster.now + timedelta(minutes=minutes), "v1")
    cluster.reconcile()
    assert cluster.condition("Ready")["status"] == ready
