"""What a verification Job leaves, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.builders import RUNNING, an_exit
from tests.core.cluster import Cluster
from tests.core.journeys import endings, history, turns
from tests.core.verifying import changed, jobs_made

from sluicegate.core import naming
from sluicegate.core.objects import labels
from sluicegate.core.verification_job import lacks_result

# how the Job goes -> words of the record
FAILURES: dict[str, tuple[int | Mapping[str, Any], str, str]] = {
    "by its exit code": (
        3,
        "first line\n  \x1b[31mAssertionError: no\x1b[0m\n",
        "-job ended with exit code 3: ",
    ),
    "without a word": (7, "", "-job ended with exit code 7: Error"),
    "at its deadline": (RUNNING, "", "-job did not end within timeoutSeconds (600)"),
}


@pytest.mark.parametrize(("trial", "said", "words"), FAILURES.values(), ids=FAILURES)
def test_a_version_that_its_job_does_not_let_pass_is_given_up_and_the_job_goes_with_it(
    trial: int | Mapping[str, Any], said: str, words: str
) -> None:
    cluster = changed()
    cluster.trials["v2"], cluster.last_words = trial, said
    turns(cluster, 8)
    cluster.pass_time(minutes=11)
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert endings(cluster)[0] == ("v2", "RolledBack", "VerificationJobFailed")
    message = history(cluster)["message"]
    assert words in message
    assert "Nothing else serves" not in message
    assert cluster.of_kind("Job") == ()
    assert len(jobs_made(cluster)) == 1


def test_of_a_long_last_word_the_end_is_told_on_one_line() -> None:
    cluster = changed()
    cluster.trials["v2"], cluster.last_words = 1, "noise\n" * 200 + "\x1b[31mFAILED\x07 test_x\n"
    cluster.settle()
    message = history(cluster)["message"]
    assert message.endswith("noise [31mFAILED test_x")
    assert "code 1: ..." in message
    assert len(message) < 400


def a_failed_job(pod: Mapping[str, Any] | None, message: str = "it has ended") -> Cluster:
    """The Job has failed; its pod is as given, or gone."""
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    (job,) = cluster.of_kind("Job")
    cluster.conclude(job, "Failed", "BackoffLimitExceeded", message)
    (found,) = (each for each in cluster.of_kind("Pod") if naming.VERIFIES in labels(each))
    if pod is None:
        cluster.remove(found)
    else:
        cluster.set_pod(found, pod)
    return cluster


def test_a_pod_that_is_still_seen_running_has_its_result_on_the_way() -> None:
    cluster = a_failed_job(RUNNING)
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "VerificationJobRunning"
    (pod,) = (each for each in cluster.of_kind("Pod") if naming.VERIFIES in labels(each))
    cluster.set_pod(pod, an_exit(4))
    cluster.settle()
    assert "exit code 4" in history(cluster)["message"]


def _runs(pod: Any) -> None:
    """Its container has not ended either, as far as is seen."""
    pod["status"]["containerStatuses"] = [{"name": "job", "state": {"running": {}}}, {"name": "beside"}]


def _goes(pod: Any) -> None:
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"


def _never_began(pod: Any) -> None:
    pod["status"] = {"phase": "Pending"}


def _says_nothing(pod: Any) -> None:
    pod.pop("status")


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_runs, "VerificationJobRunning"),
        (_goes, "Discarding"),
        (_never_began, "Discarding"),
        (_says_nothing, "Discarding"),
    ],
)
def test_no_result_is_waited_for_that_does_not_come(happens: Callable[[Any], None], reason: str) -> None:
    cluster = a_failed_job(RUNNING)
    (pod,) = (each for each in cluster.of_kind("Pod") if naming.VERIFIES in labels(each))
    cluster.change(pod, happens)
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == reason


def test_an_end_of_which_nothing_else_is_told_is_told_by_its_exit_code() -> None:
    container = {"state": {"terminated": {"exitCode": 3}}}
    cluster = a_failed_job({"phase": "Failed", "containerStatuses": [container]})
    cluster.settle()
    assert history(cluster)["message"].endswith("ended with exit code 3")


def test_a_pod_whose_container_has_just_ended_leaves_it_to_its_job_to_say_so() -> None:
    cluster = changed()
    cluster.trials["v2"] = {**an_exit(4), "phase": "Running"}
    turns(cluster, 8)
    assert cluster.condition("Ready")["reason"] == "VerificationJobRunning"


def test_a_pod_of_a_job_that_is_only_made_is_waited_for() -> None:
    cluster = changed()
    cluster.trials["v2"] = RUNNING
    turns(cluster, 8)
    (pod,) = (each for each in cluster.of_kind("Pod") if naming.VERIFIES in labels(each))
    cluster.change(pod, _says_nothing)
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "VerificationJobRunning"


@pytest.mark.parametrize(
    ("message", "words"),
    [("Job has reached its limit", "-job failed: Job has reached"), ("", "failed: its pod")],
)
def test_of_a_job_whose_pod_is_gone_its_own_words_are_told(message: str, words: str) -> None:
    cluster = a_failed_job(None, message)
    cluster.settle()
    assert words in history(cluster)["message"]


# how a Job stands and its pod -> whether its result is to be looked for
RESULTS: dict[str, tuple[str, str, Mapping[str, Any] | None, bool]] = {
    "it runs": ("Suspended", "", RUNNING, False),
    "it has succeeded": ("Complete", "CompletionsReached", None, False),
    "it has failed": ("Failed", "BackoffLimitExceeded", an_exit(1), False),
    "it has failed and its pod is seen running": ("Failed", "BackoffLimitExceeded", RUNNING, True),
    "it has failed and its pod is not seen": ("Failed", "BackoffLimitExceeded", None, True),
    "it took too long": ("Failed", "DeadlineExceeded", None, False),
}


@pytest.mark.parametrize(("kind", "reason", "status", "lacks"), RESULTS.values(), ids=RESULTS)
def test_the_result_of_a_job_is_looked_for_only_where_it_says_more(
    kind: str, reason: str, status: Mapping[str, Any] | None, lacks: bool
) -> None:
    metadata = {"name": "chat-0a1b2c3d-job", "uid": "uid-job"}
    job = {
        "metadata": metadata,
        "status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]},
    }
    owner = {"metadata": {"ownerReferences": [{"uid": "uid-job"}]}}
    assert lacks_result(job, [] if status is None else [{**owner, "status": status}]) is lacks


def test_a_container_beside_that_ended_well_is_not_why_it_failed() -> None:
    beside = an_exit(0)["containerStatuses"]
    cluster = a_failed_job({**an_exit(5), "containerStatuses": [*beside, *an_exit(5)["containerStatuses"]]})
    cluster.settle()
    assert "exit code 5" in history(cluster)["message"]
