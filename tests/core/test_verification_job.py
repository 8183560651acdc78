"""Verification Jobs: a candidate that a user's own Job does not let pass never serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import (
    RUNNING,
    ADeployment,
    a_golden_prompt,
    a_model_version,
    unschedulable,
    waiting,
    with_golden_prompts,
)
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_cluster, a_settled_cluster, history, kills, step, turn_until, turns
from tests.core.verifying import JOB, asking, changed, jobs_made

from sluicegate.api.v1alpha1.gates import JobGate
from sluicegate.core import naming
from sluicegate.core.objects import annotation, labels, name
from sluicegate.core.plan import Create, Delete, Plan, Score
from sluicegate.core.verification_job import settings

THE_SERVICE = "the Service points at it"


def test_a_version_that_its_job_lets_pass_serves_and_its_record_says_so() -> None:
    cluster = changed()
    cluster.settle()
    assert cluster.answering() == {"v2"}
    (job,) = jobs_made(cluster)
    assert name(job) == f"chat-{cluster.rollout_of('v2')}-job"
    assert history(cluster)["outcome"] == "Promoted"
    passed = f"verification Job passed (settings {annotation(job, naming.SETTINGS)})"
    assert history(cluster)["message"] == f"{THE_SERVICE}; {passed}"


def test_a_job_is_told_what_it_tries_and_may_do_no_more_than_other_pods() -> None:
    cluster = changed(
        ADeployment().with_spec(pod={"imagePullSecrets": ["registry"]}, servedModelName="org/chat"),
        command=["pytest"],
        args=["-q", "/tests"],
        env=[{"name": "LEVEL", "value": "3"}],
        timeoutSeconds=90,
        resources={"cpu": "500m", "memory": "1Gi"},
    )
    cluster.settle()
    (job,) = jobs_made(cluster)
    rollout = cluster.rollout_of("v2")
    assert labels(job) == naming.colour_labels("chat", rollout)
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-chat"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 90)
    template = job["spec"]["template"]
    assert template["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "sluicegate",
        "sluicegate.dev/verifies": "chat",
    }, "no Service may select it"
    pod = template["spec"]
    (container,) = pod.pop("containers")
    security = pod.pop("securityContext")
    assert pod == {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    assert security["runAsNonRoot"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "name": "job",
        "image": "tests:1",
        "command": ["pytest"],
        "args": ["-q", "/tests"],
        "env": [
            {"name": "SLUICEGATE_URL", "value": "http://10.96.0.7/v1"},
            {"name": "SLUICEGATE_MODEL", "value": "org/chat"},
            {"name": "SLUICEGATE_VERSION", "value": "v2"},
            {"name": "SLUICEGATE_ROLLOUT", "value": rollout},
            {"name": "LEVEL", "value": "3"},
        ],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def test_a_job_gets_a_token_only_where_an_account_is_named() -> None:
    cluster = changed(serviceAccountName="tester")
    cluster.settle()
    pod = jobs_made(cluster)[0]["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("tester", True)


def test_a_job_is_made_when_golden_prompts_hold_and_not_before() -> None:
    cluster = changed()
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    cluster.unlikely["v2"] = "!HTTP 500"
    turns(cluster)
    assert jobs_made(cluster) == []
    cluster.unlikely.clear()
    cluster.settle()
    asked = [each for each in cluster.log if isinstance(each, Score) or each in made_by(cluster)]
    assert [type(each) for each in asked[-2:]] == [Score, Create]
    assert "; golden prompts held: capital; verification Job passed" in history(cluster)["message"]


def made_by(cluster: Cluster) -> list[Create]:
    return [each for each in cluster.log if isinstance(each, Create) and each.manifest["kind"] == "Job"]


def test_a_job_waits_for_the_address_of_the_preview_service() -> None:
    cluster = changed()
    while not cluster.plan().actions or not made_by_plan(cluster.plan()):
        cluster.turn()
    preview = thawed(cluster.one("Service", "chat-preview"))
    del preview["spec"]["clusterIP"]
    cluster.put(preview)
    assert made_by_plan(cluster.plan()) == []


def made_by_plan(plan: Plan) -> list[Create]:
    return [each for each in plan.actions if isinstance(each, Create) and each.manifest["kind"] == "Job"]


def test_a_job_that_runs_is_waited_for_and_the_status_says_so() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    ready, rollout = cluster.condition("Ready"), cluster.rollout_of("v2")
    assert ready["reason"] == "VerificationJobRunning"
    assert ready["message"] == f"Job chat-{rollout}-job tries the new pods, for at most 600 s"
    assert cluster.condition("Stalled") == {}
    assert cluster.status["rollout"]["step"] == "Verifying"
    assert cluster.answering() == {"v1"}
    wait = cluster.plan().requeue_after
    assert wait is not None
    assert wait.total_seconds() > 60, "nothing is polled"
    cluster.trials["v2"] = 0
    cluster.settle()
    assert cluster.answering() == {"v2"}


# status of the Job's pod -> reason, words, whether somebody has to do something
OBSTACLES: dict[str, tuple[Mapping[str, Any], str, str, bool]] = {
    "no node": (
        {"phase": "Pending", **unschedulable("0/1 nodes are available")},
        "Unschedulable",
        "-job: 0/1 nodes are available",
        False,
    ),
    "no image": (
        {**waiting("ErrImagePull", "manifest unknown", container="job"), "phase": "Pending"},
        "ImagePullFailed",
        "-job: container job: manifest unknown",
        True,
    ),
}


@pytest.mark.parametrize(("status", "reason", "words", "stalled"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_keeps_a_job_from_starting_is_told_and_ends_with_its_deadline(
    status: Mapping[str, Any], reason: str, words: str, stalled: bool
) -> None:
    cluster = changed()
    cluster.trials["v2"] = status
    turns(cluster, 8)
    told = cluster.condition("Stalled" if stalled else "Ready")
    assert told["reason"] == reason
    assert words in told["message"]
    cluster.pass_time(minutes=11)
    cluster.settle()
    assert history(cluster)["reason"] == "VerificationJobFailed"


def test_a_job_that_outlasts_the_progress_deadline_ends_the_rollout() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2", rollout={**asking(timeoutSeconds=86_400), "progressDeadlineSeconds": 60})
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    cluster.pass_time(minutes=2)
    cluster.settle()
    assert history(cluster)["reason"] == "ProgressDeadlineExceeded"
    assert "VerificationJobRunning: Job chat-" in history(cluster)["message"]
    assert cluster.of_kind("Job") == ()


def test_a_suspended_job_says_so() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    cluster.conclude(cluster.of_kind("Job")[0], "Suspended", "JobSuspended", "")
    cluster.reconcile()
    ready = cluster.condition("Ready")
    assert ready["reason"] == "VerificationJobRunning"
    assert "is suspended: resume it, or delete it" in ready["message"]


def test_a_skip_makes_no_job_and_is_on_record() -> None:
    cluster = changed(skipReason="INC-42: the test cluster is down")
    cluster.settle()
    assert jobs_made(cluster) == []
    assert history(cluster)["message"] == (
        f"{THE_SERVICE}; verification Job skipped: INC-42: the test cluster is down"
    )


def test_what_an_earlier_operator_noted_of_a_job_is_known_again_by_its_settings() -> None:
    asked = JobGate.model_validate(
        {
            **JOB,
            "args": ["-q"],
            "env": [{"name": "LEVEL", "value": "3"}],
            "timeoutSeconds": 90,
            "resources": {"cpu": "500m", "memory": "1Gi"},
        }
    )
    assert settings(asked) == "4de6309f"


# what is edited while the Job runs -> what goes, number of Jobs made, what the record says of it
EDITS: dict[str, tuple[dict[str, Any], list[str], int, str]] = {
    "another image": (asking(image="tests:2"), ["Job"], 2, "verification Job passed"),
    "a skip": (asking(skipReason="a fire"), ["Job"], 1, "verification Job skipped: a fire"),
    "no Job any more": ({}, ["Job"], 1, THE_SERVICE),
    "nothing of the Job": ({**asking(), "historyLimit": 3}, [], 1, "verification Job passed"),
}


@pytest.mark.parametrize(("rollout", "goes", "made", "words"), EDITS.values(), ids=EDITS)
def test_a_job_that_is_not_asked_for_any_more_makes_room(
    rollout: dict[str, Any], goes: list[str], made: int, words: str
) -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    pods = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.edit(rollout=rollout)
    gone = [each.ref.kind for each in cluster.reconcile().actions if isinstance(each, Delete)]
    assert gone == goes
    assert pods <= {pod["metadata"]["uid"] for pod in cluster.pods()}, "the candidate stays"
    cluster.trials.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert len(jobs_made(cluster)) == made
    assert words in history(cluster)["message"]


def test_a_job_on_its_way_out_is_waited_for() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    leaving = thawed(cluster.of_kind("Job")[0])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    cluster.put(leaving)
    cluster.edit(rollout=asking(image="tests:2"))
    plan = cluster.reconcile()
    assert not any(isinstance(each, Create | Delete) for each in plan.actions)
    assert "makes room for another" in cluster.condition("Ready")["message"]
    cluster.remove(leaving)
    cluster.trials.clear()
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_a_job_that_somebody_deletes_lets_nothing_pass_on_its_way_out() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    (job,) = cluster.of_kind("Job")
    cluster.conclude(job, "Complete", "CompletionsReached", "")
    cluster.change(job, lambda copy: copy["metadata"].update(deletionTimestamp="2026-01-01T12:00:00Z"))
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "VerificationJobRunning"
    assert cluster.condition("Stalled") == {}
    assert cluster.answering() == {"v1"}


def waiting_for_a_person() -> Cluster:
    """The Job has let v2 pass, which a person has yet to promote."""
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2", rollout={**asking(), "promotion": "Manual"})
    cluster.settle()
    assert "(verification Job passed" in cluster.status["rollout"]["message"]
    return cluster


def test_what_a_job_let_pass_is_not_tried_again_though_the_job_is_gone_and_the_operator_was() -> None:
    cluster = waiting_for_a_person()
    cluster.remove(cluster.of_kind("Job")[0])
    cluster.restart_operator()
    cluster.settle()
    cluster.annotate(promote=cluster.status["rollout"]["id"])
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert len(jobs_made(cluster)) == 1


def test_what_another_job_let_pass_is_tried_again() -> None:
    cluster = waiting_for_a_person()
    cluster.edit(rollout={**asking(image="tests:2"), "promotion": "Manual"})
    cluster.trials["v2"] = RUNNING
    turns(cluster, 4)
    cluster.annotate(promote=cluster.status["rollout"]["id"])
    turns(cluster, 4)
    assert cluster.answering() == {"v1"}
    assert len(jobs_made(cluster)) == 2


def test_the_job_of_who_serves_stays_and_none_is_made_for_it() -> None:
    cluster = changed()
    cluster.settle()
    (job,) = cluster.of_kind("Job")
    cluster.edit(rollout=asking(image="tests:2"))
    cluster.settle()
    assert cluster.of_kind("Job") == (job,)
    cluster.remove(job)
    cluster.pass_time(hours=1)
    assert cluster.plan().actions == ()


@pytest.mark.parametrize("wanted", ["v2", "v1"], ids=["goes on", "is gone back from"])
def test_while_a_version_is_observed_no_job_goes_for_want_of_another(wanted: str) -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout={"observeSeconds": 60, **asking()}))
    cluster.edit(modelVersion="v2")
    turn_until(cluster, lambda: step(cluster) == "Observing")
    jobs = cluster.of_kind("Job")
    cluster.edit(modelVersion=wanted, rollout=asking(image="tests:2"))
    cluster.reconcile()
    assert (len(jobs), cluster.of_kind("Job")) == (2, jobs)


def test_adding_a_job_touches_nothing_that_serves() -> None:
    cluster = a_settled_cluster()
    cluster.edit(rollout=asking())
    assert cluster.plan().actions == ()


def test_going_back_to_what_was_promoted_waits_for_no_job() -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout={"observeSeconds": 60}))
    cluster.edit(modelVersion="v2")
    turns(cluster, 6)
    assert cluster.status["rollout"]["step"] == "Observing"
    cluster.edit(modelVersion="v1", rollout=asking())
    cluster.trials["v1"] = RUNNING
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert jobs_made(cluster) == []


def test_the_job_of_what_is_superseded_goes_before_its_pods_have_ended() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    cluster.edit(modelVersion="v1")
    gone = []
    for _ in range(3):
        gone += [each.ref.kind for each in cluster.reconcile().actions if isinstance(each, Delete)]
    assert gone == ["ReplicaSet", "Job"]
    cluster.settle()
    assert cluster.of_kind("Job") == ()
    assert not any(naming.VERIFIES in labels(pod) for pod in cluster.of_kind("Pod"))


def test_a_job_whose_colour_is_forgotten_goes() -> None:
    cluster = changed()
    cluster.settle()
    orphan = thawed(cluster.of_kind("Job")[0])
    orphan["metadata"] = {**orphan["metadata"], "name": "chat-0badc0de-job", "uid": "uid-orphan"}
    cluster.put(orphan)
    cluster.settle()
    assert [name(each) for each in cluster.of_kind("Job")] == [f"chat-{cluster.rollout_of('v2')}-job"]


def test_a_first_version_that_its_job_does_not_let_pass_stays_until_the_job_is_deleted_or_corrected() -> None:
    cluster = a_cluster(ADeployment().with_spec(rollout=asking()))
    cluster.trials["v1"] = 1
    cluster.settle()
    assert cluster.answering() == set()
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "VerificationJobFailed"
    assert "Nothing else serves: it stays as it is until the spec changes or Job chat-" in stalled["message"]
    cluster.pass_time(days=1)
    assert cluster.turn().actions == ()
    assert len(jobs_made(cluster)) == 1
    cluster.trials.clear()
    again, corrected = cluster.fork(), cluster.fork()
    again.remove(again.of_kind("Job")[0])
    corrected.edit(rollout=asking(image="tests:2"))
    for other in (again, corrected):
        other.settle()
        assert other.answering() == {"v1"}
        assert len(jobs_made(other)) == 2


def test_a_deployment_at_zero_is_tried_by_no_job() -> None:
    cluster = changed()
    cluster.edit(replicas=0)
    cluster.settle()
    assert jobs_made(cluster) == []
    assert history(cluster)["message"] == THE_SERVICE


@pytest.mark.parametrize("code", [0, 1], ids=["it passes", "it fails"])
def test_a_crash_at_any_write_ends_in_the_same_world_with_one_job_made(code: int) -> None:
    cluster = changed()
    cluster.trials["v2"] = code
    reference = cluster.fork()
    reference.settle()
    for other in kills(cluster):
        other.settle()
        assert other.shape() == reference.shape()
        assert history(other)["message"] == history(reference)["message"]
        assert len(jobs_made(other)) == 1
