"""The end of a rollout into running pods: from the pass in which it comes to nothing, the rest is right."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.builders import a_golden_prompt, a_model_version, with_golden_prompts
from tests.core.changes_in_place import at, changing, in_its_pods, message, serving, told
from tests.core.journeys import endings, step
from tests.core.measured import measured

from sluicegate.core import naming
from sluicegate.core.objects import annotation
from sluicegate.core.plan import Create


def test_what_is_wanted_no_more_ends_at_once_and_nobody_is_taken_for_the_third_version() -> None:
    cluster = at("Staging", changing())
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    assert cluster.condition("RouteReady")["status"] == "False"
    cluster.reconcile()
    assert endings(cluster)[0] == ("v2", "Superseded", "Superseded")


def test_the_version_before_is_the_one_that_serves_as_soon_as_it_is_wanted_again() -> None:
    cluster = at("Staging", changing())
    cluster.edit(modelVersion="v1")
    cluster.reconcile()
    assert cluster.condition("RouteReady")["status"] == "True"


def test_a_version_that_fails_is_no_failure_of_the_third_one_that_waits_for_its_end() -> None:
    cluster = at("Observing", changing(observeSeconds=60))
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    cluster.edit(modelVersion="v3")
    for _ in range(20):
        cluster.turn()
        assert cluster.condition("Stalled") == {}
    assert ("v2", "RolledBack", "RegressionObserved") in endings(cluster)


def test_a_third_version_has_no_record_before_the_pods_have_changed_back() -> None:
    cluster = at("Fleet", changing())
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    plan = cluster.reconcile()
    assert (step(cluster), cluster.condition("Ready")["reason"]) == ("Reverting", "Reverting")
    assert "yet to change back: pod-" in message(cluster)
    assert not any(isinstance(each, Create) for each in plan.actions)
    cluster.settle()
    in_its_pods(cluster, "v3")


def test_what_somebody_ends_before_the_first_pod_has_changed_changes_none() -> None:
    cluster = at("Staging", changing())
    cluster.annotate(abort=cluster.status["rollout"]["id"])
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "Aborted")
    assert ("Switch", "v2") not in told(cluster)


def test_a_version_is_given_up_at_its_deadline_and_not_before() -> None:
    cluster = changing()
    cluster.stuck = True
    at("Staging", cluster)
    cluster.now = datetime.fromisoformat(cluster.status["rollout"]["deadline"]) - timedelta(milliseconds=1)
    cluster.reconcile()
    assert step(cluster) == "Staging"
    cluster.pass_time(milliseconds=1)
    cluster.reconcile()
    cluster.reconcile()
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")


def test_what_the_first_pod_has_passed_stays_on_record_when_the_operator_restarts() -> None:
    cluster = serving()
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    cluster.edit(modelVersion="v2")
    at("Fleet", cluster)
    cluster.restart_operator()
    cluster.reconcile()
    record = cluster.one("ControllerRevision", naming.colour_name("chat", cluster.status["rollout"]["id"]))
    assert annotation(record, naming.VERIFICATION) == "golden prompts held: capital"
