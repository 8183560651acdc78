"""A version that comes into the pods that run: how it begins, and how it goes from pod to pod."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from tests.builders import (
    a_golden_prompt,
    a_model_version,
    with_golden_prompts,
)
from tests.core.changes_in_place import (
    IN_PLACE,
    at,
    changed,
    changing,
    in_its_pods,
    late,
    message,
    orders,
    pointers,
    served,
    serving,
    told,
)
from tests.core.journeys import endings, step, turn_until

from sluicegate.core.control import RETRY
from sluicegate.core.plan import Apply, Ask, Create, Delete, Reload


def test_pods_stage_and_one_changes_and_answers_before_the_others_follow() -> None:
    cluster = changing(3)
    cluster.settle()
    assert told(cluster) == [("Stage", "v2")] * 3 + [("Switch", "v2")] * 3
    asked = [index for index, each in enumerate(cluster.log) if isinstance(each, Ask)]
    switched = [index for index, each in enumerate(cluster.log) if each in orders(cluster)[3:]]
    assert switched[0] < asked[0] < switched[1]
    in_its_pods(cluster, "v2")
    assert endings(cluster) == [("v2", "Promoted", "Promoted"), ("v1", "Promoted", "Promoted")]


def test_each_step_comes_once_and_in_its_order() -> None:
    cluster, steps = changing(), []
    for _ in range(20):
        cluster.turn()
        steps.append(step(cluster))
    assert [each for each, _ in groupby(filter(None, steps))] == ["Staging", "Canary", "Fleet", "Observing"]


def test_the_pointer_moves_after_the_last_pod_and_nothing_else_is_written_of_pods_or_services() -> None:
    cluster = changing()
    cluster.settle()
    last = max(index for index, each in enumerate(cluster.log) if isinstance(each, Reload))
    writes = [(index, each) for index, each in enumerate(cluster.log) if isinstance(each, Apply | Create)]
    kinds = [each.manifest["kind"] for _, each in writes]
    assert kinds == ["ControllerRevision"] * 2 + ["ConfigMap", "ReplicaSet", "ControllerRevision"]
    assert [index > last for index, _ in writes] == [False, True, True, True, True]
    labels = [
        each.manifest["spec"]["template"] for _, each in writes if each.manifest["kind"] == "ReplicaSet"
    ]
    assert labels == [cluster.of_kind("ReplicaSet")[0]["spec"]["template"]]
    assert not any(isinstance(each, Delete) for each in cluster.log)


def test_no_more_than_four_pods_stage_at_a_time() -> None:
    cluster = changing(6)
    cluster.turn()
    for _ in range(2):
        cluster.reconcile()
        assert told(cluster) == [("Stage", "v2")] * 4
    cluster.pass_time(seconds=1)
    cluster.reconcile()
    cluster.reconcile()
    assert told(cluster) == [("Stage", "v2")] * 6


def test_what_each_pod_is_told_orders_it_after_what_it_was_told_before() -> None:
    cluster = changing()
    cluster.settle()
    cluster.edit(modelVersion="v3")
    cluster.settle()
    in_its_pods(cluster, "v3")
    assert [each.body["sequence"] for each in orders(cluster)] == [1] * 4 + [2] * 4
    assert '"sequence": 2' in pointers(cluster)[0]
    assert orders(cluster)[-1].body["source"] == {"uri": "pvc://weights/v3"}


def test_the_status_tells_which_version_serves_and_which_was_good_last() -> None:
    cluster = at("Fleet", changing())
    assert cluster.status["serving"]["version"] == "v1"
    assert cluster.condition("Ready")["reason"] == "Fleet"
    assert message(cluster).endswith("1 of 2 pods serve it, 1 could at once")
    at("Observing", cluster)
    rollout = cluster.status["rollout"]
    assert (rollout["fromVersion"], rollout["toVersion"]) == ("v1", "v2")
    assert cluster.status["serving"]["version"] == "v2"
    assert cluster.status["lastGood"]["version"] == "v1"
    assert cluster.condition("RouteReady")["reason"] == "Observing"
    cluster.wipe_status()
    cluster.reconcile()
    assert cluster.status["rollout"]["fromVersion"] == "v1"
    cluster.settle()
    assert cluster.status["lastGood"] == {**cluster.status["serving"], "rollout": rollout["id"]}


def test_a_version_is_observed_for_as_long_as_is_asked() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    began = cluster.now
    turn_until(cluster, lambda: step(cluster) != "Observing")
    assert 19 <= (cluster.now - began).total_seconds() <= 22
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")


def test_a_version_that_nobody_wants_observed_is_promoted_when_the_last_pod_serves_it() -> None:
    cluster = changing(observeSeconds=0)
    cluster.settle()
    in_its_pods(cluster, "v2")
    assert cluster.status["history"][0]["message"] == "its pods serve it"


def test_pods_prove_themselves_by_the_golden_prompts_that_were_recorded_with_their_engine() -> None:
    cluster = serving()
    prompt = a_golden_prompt()
    cluster.put(with_golden_prompts(a_model_version("v2"), prompt))
    cluster.edit(modelVersion="v2")
    cluster.settle()
    staged, switched = orders(cluster)[0].body, orders(cluster)[-1].body
    assert "golden" not in staged
    assert [each["name"] for each in switched["golden"]] == [prompt["name"]]
    assert switched["golden"][0]["prompt"] == prompt["prompt"]
    assert switched["golden"][0]["tokens"] == prompt["tokens"]
    assert switched["golden"][0]["tolerance"] == 0.5
    assert switched["golden"][0]["logProbabilities"] == [
        each / 1000 for each in prompt["logProbabilitiesMilliNats"]
    ]
    assert "golden prompts held" in cluster.status["history"][0]["message"]


def test_golden_prompts_are_those_of_the_first_pod_though_another_runs_another_engine() -> None:
    cluster = serving()
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    says, last = cluster._runtime, cluster.pods()[1]["metadata"]["name"]
    cluster._runtime = lambda pod: replace(  # type: ignore[method-assign]
        says(pod), vllm="0.33.0" if pod == last else "0.32.0"
    )
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert "golden prompts held" in cluster.status["history"][0]["message"]


def test_golden_prompts_that_are_skipped_are_not_told() -> None:
    skip = {"verification": {"goldenPrompts": {"policy": "Skip", "skipReason": "a fire"}}}
    cluster = serving(**skip)
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert "golden" not in orders(cluster)[-1].body
    in_its_pods(cluster, "v2")


def test_without_golden_prompts_a_version_comes_though_they_are_skipped() -> None:
    cluster = changing(verification={"goldenPrompts": {"policy": "Skip", "skipReason": "a fire"}})
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_without_golden_prompts_that_are_required_no_pod_changes() -> None:
    cluster, policy = serving(), {"verification": {"goldenPrompts": {"policy": "Required"}}}
    cluster.edit(modelVersion="v2", rollout={**IN_PLACE, **policy})
    for _ in range(6):
        cluster.turn()
    assert told(cluster) == [("Stage", "v2")] * 2
    assert cluster.condition("Stalled")["reason"] == "GoldenPromptsMissing"
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_what_is_missing_of_golden_prompts_is_told_when_files_lie_ready_and_not_before() -> None:
    cluster, policy = serving(), {"verification": {"goldenPrompts": {"policy": "Required"}}}
    cluster.edit(modelVersion="v2", rollout={**IN_PLACE, **policy})
    cluster.reconcile()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Staging"
    cluster.pass_time(seconds=1)
    cluster.reconcile()
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "GoldenPromptsMissing"


# how it begins, and when it is looked at again


def test_the_only_pod_changes_and_is_looked_at_until_it_answers() -> None:
    cluster = changing(1)
    cluster.lies["v2"] = "v9"
    for wanted in ("Staging", "Canary"):
        at(wanted, cluster)
        assert cluster.plan().requeue_after == RETRY
    turn_until(cluster, lambda: served(cluster) == ["v2"])
    for _ in range(3):
        cluster.turn()
        assert cluster.plan().requeue_after == RETRY
    assert step(cluster) == "Canary"
    assert '"version": "v1"' in pointers(cluster)[0]
    cluster.lies.clear()
    turn_until(cluster, lambda: step(cluster) == "Observing")
    assert '"version": "v2"' in pointers(cluster)[0]


def test_a_first_pod_that_answers_wrong_is_asked_again_after_half_a_second_and_not_before() -> None:
    cluster = at("Canary", changing())
    cluster.lies["v2"] = "!HTTP 500"
    turn_until(cluster, lambda: "HTTP 500" in message(cluster))
    cluster.reconcile()
    assert "Stalled" not in {each["type"] for each in cluster.status["conditions"]}
    for passed, asks in ((0.4, 0), (0.1, 1)):
        cluster.pass_time(seconds=passed)
        assert sum(isinstance(each, Ask) for each in cluster.plan().actions) == asks


def test_an_operator_that_was_away_asks_pods_that_never_changed_nothing_before_it_begins() -> None:
    cluster = serving()
    cluster.restart_operator()
    cluster.edit(modelVersion="v2")
    cluster.reconcile()
    assert [each.manifest["kind"] for each in cluster.log if isinstance(each, Create)] == [
        "ControllerRevision"
    ]


def test_an_operator_that_was_away_hears_pods_that_changed_before_it_begins() -> None:
    cluster = changed()
    cluster.restart_operator()
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    assert not any(isinstance(each, Create) for each in cluster.log)
    cluster.reconcile()
    assert any(isinstance(each, Create) for each in cluster.log)


def test_nothing_comes_into_pods_while_one_of_them_has_yet_to_change_back() -> None:
    cluster = changed()
    late(cluster)
    cluster.reconcile()
    cluster.edit(modelVersion="v3")
    cluster.reconcile()
    assert not any(isinstance(each, Create) for each in cluster.log)
    cluster.settle()
    in_its_pods(cluster, "v3")


def test_pods_are_told_more_than_they_know_and_the_pointer_with_them() -> None:
    cluster = changing()
    pod = cluster.pods()[0]["metadata"]["uid"]
    cluster.engines[pod] = replace(cluster.engine(cluster.pods()[0]), sequence=5)
    cluster.restart_operator()
    cluster.settle()
    in_its_pods(cluster, "v2")
    assert '"sequence": 6' in pointers(cluster)[0]


def test_pods_that_have_all_changed_wait_for_one_that_is_wanted_and_not_there() -> None:
    cluster = at("Fleet", changing())
    cluster.remove(cluster.pods()[1])
    cluster.reconcile()
    cluster.reconcile()
    assert step(cluster) == "Fleet"
    assert '"version": "v1"' in pointers(cluster)[0]
