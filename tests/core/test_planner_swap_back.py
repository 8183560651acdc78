"""A swap that fails: the old pods come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders import STARTING, unschedulable
from tests.core.cluster import Cluster
from tests.core.failures import CRASHED, crashes, is_aborted, loops
from tests.core.journeys import endings, moments, step, turn_until
from tests.core.swapping import observing, swapping, wanted, with_pods

from sluicegate.core import naming


def _never_answers(cluster: Cluster) -> None:
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()


# How a version fails after it took over and before it answered, and for which reason it goes.
FAILURES: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "its engines crash": (crashes, "EngineCrashLooping"),
    "somebody ends it": (is_aborted, "Aborted"),
    "it never answers": (_never_answers, "AnswerFailed"),
}


@pytest.mark.parametrize(("fail", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_version_that_fails_before_its_first_answer_makes_room_for_the_one_before(
    fail: Callable[[Cluster], None], reason: str
) -> None:
    cluster = observing()
    fail(cluster)
    cluster.settle(60)
    assert cluster.answering() == {"v1"}
    assert wanted(cluster) == {"v1": 2}
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    assert "v1, as before, serves on" in cluster.condition("Stalled")["message"]


def _is_late(cluster: Cluster) -> None:
    cluster.pass_time(days=1)


def _finds_no_room(cluster: Cluster) -> None:
    """Somebody else's pods were faster."""
    cluster.trouble["v2"] = unschedulable(
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", cluster.now
    )
    cluster.run_pods()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Unschedulable"
    cluster.pass_time(days=1)


# How a version fails before it takes over.
EARLY: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "its engines crash on and on": (loops, "EngineCrashLooping"),
    "somebody ends it": (is_aborted, "Aborted"),
    "it is late": (_is_late, "ProgressDeadlineExceeded"),
    "it finds no room": (_finds_no_room, "ProgressDeadlineExceeded"),
}


@pytest.mark.parametrize(("fail", "reason"), EARLY.values(), ids=EARLY)
def test_a_version_that_fails_goes_and_the_old_pods_come_back(
    fail: Callable[[Cluster], None], reason: str
) -> None:
    cluster = swapping()
    fail(cluster)
    cluster.run_pods()
    cluster.reconcile()
    assert (step(cluster), cluster.condition("Ready")["reason"]) == ("Discarding", "Discarding")
    for each in moments(cluster):
        assert len(with_pods(each)) < 2
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert wanted(cluster) == {"v1": 2}
    assert endings(cluster) == [("v2", "RolledBack", reason), ("v1", "Promoted", "Promoted")]
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    assert cluster.condition("Ready")["status"] == "False"


def test_old_pods_that_come_back_are_told_of_with_what_is_in_their_way() -> None:
    cluster = swapping()
    is_aborted(cluster)
    cluster.trouble["v1"] = STARTING
    turn_until(cluster, lambda: bool(cluster.condition("Stalled")))
    assert "v1 comes back. Change the spec" in cluster.condition("Stalled")["message"]
    cluster.trouble["v1"] = CRASHED
    cluster.turn()
    cluster.reconcile()
    assert (
        "v1 comes back, but EngineCrashLooping: CUDA error. Change" in cluster.condition("Stalled")["message"]
    )


def test_where_nothing_is_left_to_come_back_it_is_said() -> None:
    cluster = swapping()
    is_aborted(cluster)
    cluster.settle()
    left = naming.colour_name("chat", cluster.rollout_of("v1"))
    for obj in (*cluster.of_kind("Service"), *cluster.of_kind("PodDisruptionBudget"), *cluster.pods()):
        cluster.remove(obj)
    for kind, name in (("ControllerRevision", left), ("ReplicaSet", left), ("ConfigMap", f"{left}-model")):
        cluster.remove(cluster.one(kind, name))
    cluster.reconcile()
    assert "nothing serves" in cluster.condition("Stalled")["message"]


def test_another_try_swaps_again() -> None:
    cluster = swapping()
    is_aborted(cluster)
    cluster.settle()
    cluster.trouble.clear()
    cluster.annotate(retry=cluster.status["history"][0]["id"])
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_the_old_version_can_be_had_back_before_the_new_one_answers_and_in_a_pause_too() -> None:
    cluster = swapping()
    cluster.edit(modelVersion="v1", paused=True)
    cluster.reconcile()
    assert step(cluster) == "Swapping"
    cluster.settle()
    assert (cluster.answering(), wanted(cluster)) == ({"v1"}, {"v1": 2})
