"""Golden prompts: a candidate that finds recorded answers otherwise never serves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.builders import (
    STARTING,
    ADeployment,
    a_golden_prompt,
    a_model_version,
    with_golden_prompts,
)
from tests.core.cluster import LIKELY, Cluster
from tests.core.frozen import thawed
from tests.core.journeys import a_cluster, a_settled_cluster, kills, turn_until

from sluicegate.core import naming
from sluicegate.core.objects import annotation
from sluicegate.core.plan import Ask, Score

OTHER_ENGINE = "vllm 0.25.1 on cpu --dtype=auto --enforce-eager --kv-cache-dtype=auto"
THE_SERVICE = "the Service points at it"


def record(cluster: Cluster, version: str, *prompts: dict[str, Any]) -> None:
    cluster.put(with_golden_prompts(a_model_version(version), *prompts))


def gated(**gate: Any) -> dict[str, Any]:
    return {"verification": {"goldenPrompts": gate}}


def changed(*prompts: dict[str, Any], observe_seconds: int = 0, **gate: Any) -> Cluster:
    """Version v1 serves, and v2 with its golden prompts is wanted."""
    cluster = a_settled_cluster()
    record(cluster, "v2", *(prompts or (a_golden_prompt(),)))
    cluster.edit(modelVersion="v2", rollout={**gated(**gate), "observeSeconds": observe_seconds})
    return cluster


def scored(cluster: Cluster) -> list[Score]:
    return [each for each in cluster.log if isinstance(each, Score)]


def last(cluster: Cluster) -> tuple[str, str, str]:
    ended = cluster.status["history"][0]
    return ended["version"], ended["outcome"], ended["message"]


def test_a_version_that_holds_serves_after_one_question_and_its_record_says_so() -> None:
    cluster = changed(
        a_golden_prompt(), a_golden_prompt("moon", tokens=[1], logProbabilitiesMilliNats=[-500])
    )
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert last(cluster) == ("v2", "Promoted", f"{THE_SERVICE}; golden prompts held: capital, moon")
    (score,) = scored(cluster)
    assert [(text.name, text.prompt, text.tokens) for text in score.texts] == [
        ("capital", (5, 6, 7), (8, 9)),
        ("moon", (5, 6, 7), (1,)),
    ]
    asked = [each.subject for each in cluster.log if isinstance(each, Ask | Score)]
    assert asked.index(score.subject) > asked.index(f"preview/{cluster.rollout_of('v2')}")


def test_what_was_made_of_them_stays_on_record_when_the_operator_restarts() -> None:
    cluster = changed()
    cluster.settle()
    cluster.restart_operator()
    cluster.pass_time(hours=1)
    assert cluster.plan().actions == ()
    record = cluster.one("ControllerRevision", f"chat-{cluster.rollout_of('v2')}")
    assert annotation(record, naming.VERIFICATION) == "golden prompts held: capital"


@pytest.mark.parametrize("wanted", ["v2", "v3"])
def test_what_was_made_of_who_serves_stays_on_record_though_the_gate_is_another_by_now(wanted: str) -> None:
    cluster = changed(observe_seconds=60 if wanted == "v3" else 0)
    turn_until(cluster, lambda: cluster.answering() == {"v2"})
    cluster.reconcile()
    cluster.edit(modelVersion=wanted, rollout=gated(policy="Skip", skipReason="a fire"))
    cluster.reconcile()
    record = cluster.one("ControllerRevision", f"chat-{cluster.rollout_of('v2')}")
    assert annotation(record, naming.VERIFICATION) == "golden prompts held: capital"


def test_pods_that_do_not_generate_are_asked_no_golden_prompts() -> None:
    cluster = changed()
    cluster.lies["v2"] = "!HTTP 500"
    for _ in range(6):
        cluster.turn()
    assert cluster.runtimes
    assert scored(cluster) == []


def test_a_version_without_golden_prompts_is_asked_none_and_nothing_is_written_of_them() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert scored(cluster) == []
    assert last(cluster) == ("v2", "Promoted", THE_SERVICE)
    assert not any(annotation(each, naming.VERIFICATION) for each in cluster.of_kind("ControllerRevision"))


def test_adding_golden_prompts_touches_nothing() -> None:
    cluster = a_settled_cluster()
    record(cluster, "v1", a_golden_prompt())
    plan = cluster.reconcile()
    assert (plan.actions, plan.events) == ((), ())


def test_requiring_golden_prompts_says_nothing_of_what_serves_without() -> None:
    cluster = a_settled_cluster()
    cluster.edit(rollout=gated(policy="Required"))
    assert cluster.reconcile().actions == ()
    assert cluster.condition("Stalled") == {}


# what the candidate makes of the last token -> words in the message
FINDINGS: dict[str, tuple[float | str | None, str]] = {
    "less likely": (
        -9.21,
        "golden prompt capital, token 2 of 2: log-probability -9.210; recorded was -0.500, 0.500 more or",
    ),
    "more likely": (0.1, "log-probability 0.100; recorded was -0.500"),
    "not a number": (math.nan, "token 2 of 2: the log-probability is no finite number (nan)"),
    "infinite": (-math.inf, "no finite number (-inf)"),
    "null": (None, "no finite number (None); recorded was -0.500"),
    "refused": ("capital: token id 9 is out of vocabulary", "golden prompt capital: token id 9 is out of"),
}


@pytest.mark.parametrize(("finding", "words"), FINDINGS.values(), ids=FINDINGS)
def test_a_version_that_finds_them_otherwise_is_given_up_at_once(
    finding: float | str | None, words: str
) -> None:
    cluster = changed()
    before = cluster.pods()
    cluster.unlikely["v2"] = finding
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert cluster.pods() == before
    ended = cluster.status["history"][0]
    assert (ended["version"], ended["outcome"], ended["reason"]) == (
        "v2",
        "RolledBack",
        "GoldenPromptsFailed",
    )
    assert words in ended["message"]
    assert "Nothing else serves" not in ended["message"]
    assert words in cluster.condition("Stalled")["message"]


@pytest.mark.parametrize(("nats", "serves"), [(-0.51, "v2"), (-0.49, "v2"), (-0.511, "v1"), (-0.489, "v1")])
def test_the_bound_is_what_the_spec_says(nats: float, serves: str) -> None:
    cluster = changed(maxDifferenceMilliNats=10)
    cluster.unlikely["v2"] = nats
    cluster.settle()
    assert cluster.answering() == {serves}


def test_what_was_recorded_is_told_in_nats() -> None:
    cluster = changed(a_golden_prompt(logProbabilitiesMilliNats=[-500, -8000]))
    cluster.settle()
    assert "recorded was -8.000" in last(cluster)[2]


def test_a_token_that_is_not_told_of_is_none_that_holds() -> None:
    cluster = changed()
    while not cluster.scores:
        cluster.turn()
    ((subject, scores),) = cluster.scores.items()
    cluster.scores[subject] = type(scores)(scores.at, "v2", {"capital": (LIKELY,)})
    cluster.settle()
    assert last(cluster)[1] == "RolledBack"
    assert "token 2 of 2" in last(cluster)[2]


def test_what_an_engine_tells_beyond_the_recorded_tokens_says_nothing() -> None:
    cluster = changed()
    while not cluster.scores:
        cluster.turn()
    ((subject, scores),) = cluster.scores.items()
    cluster.scores[subject] = type(scores)(scores.at, "v2", {"capital": (LIKELY, LIKELY, -9.0)})
    cluster.settle()
    assert last(cluster)[1] == "Promoted"


# golden prompts' policy, engine that they were recorded with, vLLM of the pods -> what the record says
PASSED_OVER: dict[str, tuple[dict[str, Any], str, str | None, str]] = {
    "recorded with another engine": (
        {},
        OTHER_ENGINE,
        "0.32.0",
        "golden prompts not compared: none of v2 was recorded with vllm 0.32.0 on cpu --dtype=auto",
    ),
    "a runtime that does not tell": ({}, OTHER_ENGINE, None, "its pods do not tell one version of vLLM"),
    "skipped": (
        {"policy": "Skip", "skipReason": "INC-42: recorded on the wrong day"},
        OTHER_ENGINE,
        "0.32.0",
        "golden prompts skipped: INC-42: recorded on the wrong day",
    ),
}


@pytest.mark.parametrize(("gate", "engine", "vllm", "words"), PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_is_not_compared_is_on_record(
    gate: dict[str, Any], engine: str, vllm: str | None, words: str
) -> None:
    cluster = changed(a_golden_prompt(recordedWith=engine), **gate)
    cluster.vllm, cluster.unlikely["v2"] = (vllm,), -9.0
    cluster.settle()
    assert scored(cluster) == []
    assert cluster.answering() == {"v2"}
    assert last(cluster)[2].startswith(THE_SERVICE)
    assert words in last(cluster)[2]


def test_a_skip_asks_nothing_even_of_what_was_recorded_with_this_engine() -> None:
    cluster = changed(policy="Skip", skipReason="a fire")
    cluster.unlikely["v2"] = -9.0
    cluster.settle()
    assert scored(cluster) == []
    assert cluster.answering() == {"v2"}


def test_pods_of_two_engines_are_not_compared() -> None:
    cluster = changed()
    cluster.edit(replicas=2)
    cluster.vllm = ("0.32.0", "0.33.0")
    cluster.settle()
    assert "do not tell one version" in last(cluster)[2]


# golden prompts of v2 -> words
MISSING: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "none": ((), "none of v2 was recorded with vllm 0.32.0 on cpu"),
    "of another engine": ((a_golden_prompt(recordedWith=OTHER_ENGINE),), "none of v2 was recorded with"),
}


@pytest.mark.parametrize(("prompts", "words"), MISSING.values(), ids=MISSING)
def test_required_ones_that_are_missing_are_waited_for_until_the_deadline(
    prompts: tuple[dict[str, Any], ...], words: str
) -> None:
    cluster = a_settled_cluster()
    record(cluster, "v2", *prompts)
    cluster.edit(modelVersion="v2", rollout=gated(policy="Required"))
    for _ in range(6):
        cluster.turn()
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "GoldenPromptsMissing"
    assert words in stalled["message"]
    recorded = cluster.fork()
    cluster.pass_time(minutes=31)
    cluster.settle()
    assert last(cluster)[:2] == ("v2", "RolledBack")
    assert cluster.status["history"][0]["reason"] == "GoldenPromptsMissing"
    record(recorded, "v2", a_golden_prompt())
    recorded.settle()
    assert recorded.answering() == {"v2"}


def test_that_required_ones_are_missing_is_told_when_the_pods_answer_and_not_before() -> None:
    cluster = a_settled_cluster()
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2", rollout=gated(policy="Required"))
    for _ in range(3):
        cluster.turn()
    assert cluster.condition("Ready")["reason"] == "Provisioning"


def test_a_first_version_that_fails_stays_and_says_why_and_is_not_asked_again() -> None:
    cluster = a_cluster()
    record(cluster, "v1", a_golden_prompt())
    cluster.unlikely["v1"] = -9.0
    cluster.settle()
    assert cluster.answering() == set()
    stalled = cluster.condition("Stalled")
    assert stalled["reason"] == "GoldenPromptsFailed"
    assert "Nothing else serves" in stalled["message"]
    asked = len(scored(cluster))
    cluster.pass_time(days=1)
    plan = cluster.turn()
    assert (plan.actions, plan.requeue_after) == ((), None)
    assert len(scored(cluster)) == asked == 1


CORRECTIONS: dict[str, Any] = {
    "the prompts are corrected": lambda cluster: record(
        cluster, "v1", a_golden_prompt(tokens=[8, 7], logProbabilitiesMilliNats=[-500, -9000])
    ),
    "they are removed": lambda cluster: record(cluster, "v1"),
    "they are skipped": lambda cluster: cluster.edit(rollout=gated(policy="Skip", skipReason="a fire")),
    "the bound is raised": lambda cluster: cluster.edit(rollout=gated(maxDifferenceMilliNats=9000)),
}


@pytest.mark.parametrize("correct", CORRECTIONS.values(), ids=CORRECTIONS)
def test_a_first_version_that_failed_serves_once_something_is_corrected(correct: Any) -> None:
    cluster = a_cluster()
    record(cluster, "v1", a_golden_prompt())
    cluster.unlikely["v1"] = -9.0
    cluster.settle()
    pods = {pod["metadata"]["uid"] for pod in cluster.pods()}
    correct(cluster)
    cluster.settle()
    assert cluster.answering() == {"v1"}
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == pods


def test_an_engine_that_does_not_answer_is_asked_again_until_the_deadline() -> None:
    cluster = changed()
    cluster.unlikely["v2"] = "!HTTP 500"
    for _ in range(6):
        cluster.turn()
    ready = cluster.condition("Ready")
    assert (ready["reason"], ready["message"]) == ("GoldenPromptsUnanswered", "golden prompts: HTTP 500")
    assert cluster.condition("Stalled") == {}
    assert len(scored(cluster)) > 1
    healed = cluster.fork()
    cluster.pass_time(minutes=31)
    cluster.settle()
    assert cluster.status["history"][0]["reason"] == "ProgressDeadlineExceeded"
    assert "golden prompts: HTTP 500" in last(cluster)[2]
    healed.unlikely.clear()
    healed.settle()
    assert healed.answering() == {"v2"}


def test_an_answer_of_another_version_is_none() -> None:
    cluster = changed()
    while not cluster.scores:
        cluster.turn()
    ((subject, scores),) = cluster.scores.items()
    cluster.scores[subject] = type(scores)(cluster.now, "v1", scores.log_probabilities)
    ready = cluster.plan().status["conditions"][0]  # type: ignore[index]
    assert (ready["reason"], "version v1 answered" in ready["message"]) == ("GoldenPromptsUnanswered", True)
    cluster.settle()
    assert cluster.answering() == {"v2"}


def test_whoever_promotes_is_told_what_was_made_of_them() -> None:
    cluster = changed(a_golden_prompt(recordedWith=OTHER_ENGINE))
    cluster.edit(rollout={"promotion": "Manual"})
    cluster.settle()
    message = cluster.status["rollout"]["message"]
    assert "waits to be promoted (golden prompts not compared: none of v2" in message


@pytest.mark.parametrize("finding", [LIKELY, -9.0], ids=["it holds", "it fails"])
def test_a_crash_at_any_write_ends_in_the_same_world_with_the_same_record(finding: float) -> None:
    cluster = changed()
    cluster.unlikely["v2"] = finding
    reference = cluster.fork()
    reference.settle()
    for other in kills(cluster):
        other.settle()
        assert other.shape() == reference.shape()
        assert last(other) == last(reference)


def test_a_deployment_at_zero_is_asked_nothing() -> None:
    cluster = changed()
    cluster.edit(replicas=0)
    cluster.settle()
    assert scored(cluster) == []
    assert last(cluster) == ("v2", "Promoted", THE_SERVICE)


def test_golden_prompts_that_cannot_be_read_are_none() -> None:
    cluster = a_settled_cluster()
    cluster.edit(modelVersion="v2")
    cluster.turn()
    broken = thawed(with_golden_prompts(a_model_version("v2"), a_golden_prompt(tokens=[])))
    cluster.put(broken)
    required = cluster.fork()
    cluster.settle()
    assert cluster.answering() == {"v2"}
    assert scored(cluster) == []
    required.edit(rollout=gated(policy="Required"))
    for _ in range(3):
        required.turn()
    assert required.condition("Ready")["reason"] == "GoldenPromptsMissing"


def test_prompts_of_the_same_name_that_another_engine_answered_stand_beside() -> None:
    other = a_golden_prompt(recordedWith=OTHER_ENGINE, logProbabilitiesMilliNats=[-9000, -9000])
    cluster = changed(other, a_golden_prompt())
    cluster.settle()
    assert last(cluster)[2] == f"{THE_SERVICE}; golden prompts held: capital"


def test_a_model_of_two_replicas_is_asked_through_its_preview_service_alone() -> None:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    record(cluster, "v2", a_golden_prompt())
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert [each.url for each in scored(cluster)] == ["http://10.96.0.7"]
    assert scored(cluster)[0].model == "chat"
