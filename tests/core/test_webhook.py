"""Webhooks: a candidate that an address of the user's refuses never serves."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import ADeployment, digest
from tests.core.cluster import Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_cluster, a_settled_cluster, endings, history, kills, turns

from sluicegate.core.plan import Consult

URL = "https://gate.test/may-it-serve?key=s3cret"
THE_SERVICE = "the Service points at it"


def asking(**webhook: Any) -> dict[str, Any]:
    return {"verification": {"webhook": {"url": URL, **webhook}}}


def changed(**webhook: Any) -> Cluster:
    """Version v1 serves, for which nobody was asked, and v2 is wanted, to which a webhook has to agree."""
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2", rollout=asking(**webhook))
    return cluster


def consulted(cluster: Cluster) -> list[Consult]:
    return [each for each in cluster.log if isinstance(each, Consult)]


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_version_that_its_webhook_agrees_to_serves_after_one_question(status: int) -> None:
    cluster = changed(timeoutSeconds=7)
    cluster.webhook["v2"] = (status, "")
    cluster.settle()
    assert cluster.answering() == {"v2"}
    (asked,) = consulted(cluster)
    rollout = cluster.rollout_of("v2")
    assert (asked.url, asked.timeout_seconds) == (URL, 7)
    assert asked.question == {
        "namespace": "models",
        "name": "chat",
        "rollout": rollout,
        "version": "v2",
        "digest": digest("v2"),
        "url": "http://10.96.0.7/v1",
    }
    assert history(cluster)["message"] == f"{THE_SERVICE}; webhook agreed (url 8d73004b)"


def test_a_url_which_may_hold_a_secret_is_shown_nowhere() -> None:
    cluster = changed()
    cluster.webhook["v2"] = (403, "no")
    cluster.settle()
    assert "s3cret" not in str(cluster.status)
    assert "s3cret" not in repr(consulted(cluster))
    assert not any("s3cret" in str(each) for each in cluster.of_kind("ControllerRevision"))


# answer -> words of the record
REFUSALS: dict[str, tuple[int, str, str]] = {
    "with a reason": (403, "not on\n  a Friday\x1b\n", "the webhook answered HTTP 403: not on a Friday"),
    "without one": (404, "", "the webhook answered HTTP 404"),
    "at length": (400, "no " * 200, "HTTP 400: no no"),
}


@pytest.mark.parametrize(("status", "text", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_version_that_its_webhook_refuses_is_given_up_at_once(status: int, text: str, words: str) -> None:
    cluster = changed()
    cluster.webhook["v2"] = (status, text)
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert endings(cluster)[0] == ("v2", "RolledBack", "VerificationWebhookRefused")
    message = history(cluster)["message"]
    assert words in message
    assert len(message) < 300
    assert len(consulted(cluster)) == 1


# answer -> words
NO_ANSWERS: dict[str, tuple[tuple[int, str] | str, str]] = {
    "none": ("!no answer within 30 s", "the webhook: no answer within 30 s"),
    "of a server in trouble": ((503, "overloaded"), "the webhook: HTTP 503"),
    "that lets it choose": ((300, ""), "the webhook: HTTP 300"),
    "that sends elsewhere": ((302, ""), "the webhook: HTTP 302"),
    "of a server that fails": ((500, ""), "the webhook: HTTP 500"),
    "that it is asked too often": ((429, ""), "the webhook: HTTP 429"),
    "that it took too long to ask": ((408, ""), "the webhook: HTTP 408"),
}


@pytest.mark.parametrize(("answer", "words"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_webhook_that_does_not_answer_is_asked_again_until_the_deadline(
    answer: tuple[int, str] | str, words: str
) -> None:
    cluster = changed()
    cluster.webhook["v2"] = answer
    turns(cluster)
    ready = cluster.condition("Ready")
    assert (ready["reason"], ready["message"]) == ("VerificationWebhookUnanswered", words)
    assert cluster.condition("Stalled") == {}
    assert len(consulted(cluster)) > 1
    healed = cluster.fork()
    cluster.pass_time(minutes=31)
    cluster.settle()
    assert history(cluster)["reason"] == "ProgressDeadlineExceeded"
    assert words in history(cluster)["message"]
    healed.webhook.clear()
    healed.settle()
    assert healed.answering() == {"v2"}


def test_no_question_is_repeated_within_half_a_second() -> None:
    cluster = changed()
    cluster.webhook["v2"] = (503, "")
    while not consulted(cluster):
        cluster.turn()
    cluster.reconcile()
    asked = len(consulted(cluster))
    cluster.pass_time(seconds=0.3)
    plan = cluster.reconcile()
    assert len(consulted(cluster)) == asked
    assert plan.requeue_after is not None
    assert plan.requeue_after.total_seconds() <= 0.5


def test_a_webhook_is_asked_when_the_job_has_let_it_pass_and_not_before() -> None:
    cluster = a_settled_cluster()
    both = {**asking()["verification"], "job": {"image": "tests:1"}}
    cluster.trials["v2"] = {"phase": "Running", "conditions": []}
    cluster.edit(modelVersion="v2", rollout={"verification": both})
    turns(cluster)
    assert consulted(cluster) == []
    cluster.trials.clear()
    cluster.settle()
    assert len(consulted(cluster)) == 1
    job, webhook = history(cluster)["message"].split("; ")[1:]
    assert job.startswith("verification Job passed")
    assert webhook.startswith("webhook agreed")


def test_a_skip_asks_nobody_and_is_on_record() -> None:
    cluster = changed(skipReason="INC-42: it is down")
    cluster.settle()
    assert consulted(cluster) == []
    assert history(cluster)["message"] == f"{THE_SERVICE}; webhook skipped: INC-42: it is down"


def waiting_for_a_person() -> Cluster:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2", rollout={**asking(), "promotion": "Manual"})
    cluster.settle()
    assert "(webhook agreed" in cluster.status["rollout"]["message"]
    return cluster


def test_what_it_agreed_to_is_not_asked_again_when_the_operator_restarts() -> None:
    cluster = waiting_for_a_person()
    cluster.restart_operator()
    cluster.settle()
    assert len(consulted(cluster)) == 1
    cluster.annotate(promote=cluster.status["rollout"]["id"])
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert len(consulted(cluster)) == 1


def test_another_webhook_is_asked_anew() -> None:
    cluster = waiting_for_a_person()
    other = {"verification": {"webhook": {"url": "https://other.test/"}}, "promotion": "Manual"}
    cluster.edit(rollout=other)
    cluster.settle()
    assert [each.url for each in consulted(cluster)] == [URL, "https://other.test/"]


def test_a_webhook_is_not_asked_while_the_preview_service_has_no_address() -> None:
    cluster = changed()
    while not any(isinstance(each, Consult) for each in cluster.plan().actions):
        cluster.turn()
    preview = thawed(cluster.one("Service", "chat-preview"))
    del preview["spec"]["clusterIP"]
    cluster.put(preview)
    assert not any(isinstance(each, Consult) for each in cluster.plan().actions)


def test_a_first_version_that_is_refused_stays_until_the_spec_changes() -> None:
    cluster = a_cluster(ADeployment().with_spec(rollout=asking()))
    cluster.webhook["v1"] = (403, "no")
    cluster.settle()
    assert cluster.answering() == set()
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "VerificationWebhookRefused"
    assert stalled["message"].endswith("Nothing else serves: it stays as it is until the spec changes")
    cluster.pass_time(days=1)
    assert cluster.turn().actions == ()
    cluster.edit(rollout=asking(skipReason="a fire"))
    cluster.settle()
    assert cluster.answering() == {"v1"}


def test_going_back_to_what_was_promoted_asks_nobody() -> None:
    cluster = a_settled_cluster(ADeployment().with_spec(rollout={"observeSeconds": 60}))
    cluster.edit(modelVersion="v2")
    turns(cluster)
    cluster.edit(modelVersion="v1", rollout=asking())
    cluster.webhook["v1"] = (403, "no")
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert consulted(cluster) == []


@pytest.mark.parametrize("answer", [(200, ""), (403, "no")], ids=["it agrees", "it refuses"])
def test_a_crash_at_any_write_ends_in_the_same_world_with_the_same_record(answer: tuple[int, str]) -> None:
    cluster = changed()
    cluster.webhook["v2"] = answer
    reference = cluster.fork()
    reference.settle()
    for other in kills(cluster):
        other.settle()
        assert other.shape() == reference.shape()
        assert history(other)["message"] == history(reference)["message"]
