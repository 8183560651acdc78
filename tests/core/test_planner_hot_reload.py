"""Hot reload: another version comes into the running pods, and goes out of them where it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import groupby
from typing import Any

import pytest
from tests.builders import (
    READY,
    ADeployment,
    a_golden_prompt,
    a_model_version,
    digest,
    ended,
    tried_version,
    with_golden_prompts,
)
from tests.core import invariants
from tests.core.cluster import Cluster
from tests.core.engines import Order
from tests.core.journeys import a_settled_cluster, endings, kills, moments, step, turn_until
from tests.core.measured import measured

from sluicegate.core import naming
from sluicegate.core.addresses import pod_url
from sluicegate.core.conditions import timestamp
from sluicegate.core.control import RETRY
from sluicegate.core.hot_reload import PATIENCE
from sluicegate.core.plan import Apply, Ask, CancelReload, Create, Delete, Inquire, Plan, Reload

IN_PLACE = {"strategy": "HotReload", "observeSeconds": 5}
V1_POINTER = {"version": "v1", "digest": digest("v1")}


def serving(replicas: int = 2, **rollout: Any) -> Cluster:
    """Version v1 serves, and others are to come into its pods."""
    chat = ADeployment().with_replicas(replicas).with_spec(rollout={**IN_PLACE, **rollout})
    cluster = a_settled_cluster(chat)
    cluster.log.clear()
    return cluster


def changing(replicas: int = 2, **rollout: Any) -> Cluster:
    """Version v1 serves, and v2 is to come into its pods."""
    cluster = serving(replicas, **rollout)
    cluster.edit(modelVersion="v2")
    return cluster


@cache
def _changed() -> Cluster:
    cluster = changing()
    cluster.settle()
    cluster.log.clear()
    return cluster


def changed() -> Cluster:
    """Version v2 has come into the two pods of v1 and is promoted."""
    return _changed().fork()


def at(wanted: str, cluster: Cluster) -> Cluster:
    """The cluster when its rollout has come to a step."""
    turn_until(cluster, lambda: step(cluster) == wanted)
    return cluster


def message(cluster: Cluster) -> str:
    return str(cluster.status["rollout"]["message"])


def served(cluster: Cluster) -> list[str]:
    return sorted(cluster.served(pod) for pod in cluster.pods())


def told(cluster: Cluster) -> list[tuple[str, str]]:
    return [(each.body["mode"], each.body["version"]) for each in orders(cluster)]


def orders(cluster: Cluster) -> list[Reload]:
    return [each for each in cluster.log if isinstance(each, Reload)]


def pointers(cluster: Cluster) -> list[str]:
    return [each["data"]["pointer.json"] for each in cluster.of_kind("ConfigMap")]


def in_its_pods(cluster: Cluster, version: str) -> None:
    """The version is in the pods that were there from the beginning, and everything says so."""
    assert set(served(cluster)) == {version}
    assert len(cluster.of_kind("ReplicaSet")) == 1
    assert cluster.answering() == {version}
    assert cluster.status["serving"]["version"] == version
    assert [f'"version": "{version}"' in each for each in pointers(cluster)] == [True]


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


def late(cluster: Cluster, order: Order | None = None) -> dict[str, Any]:
    """A pod that starts with an older pointer, which the operator is to hear."""
    pod = cluster.pods()[0]
    old = replace(cluster.engine(pod), pointer=V1_POINTER, sequence=0, order=order, served=())
    cluster.engines[pod["metadata"]["uid"]] = old
    cluster.runtimes.pop(pod["metadata"]["uid"])
    return pod


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


# what goes in new pods after all

FALLBACKS: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "an engine setting changes too": (
        lambda cluster: cluster.edit(engine={"device": "CPU", "maxConcurrentSequences": 8}),
        "settings of the engine or the pods change too",
    ),
    "the source is another claim": (
        lambda cluster: cluster.put(a_model_version("v2", uri="pvc://elsewhere/v2")),
        "the pods do not mount the claim elsewhere",
    ),
    "the source needs a Secret": (
        lambda cluster: cluster.put(with_secret("v2")),
        "the pods were not given the Secret hub",
    ),
    "it has a draft model": (
        lambda cluster: cluster.edit(engine={"device": "CPU", "speculative": DRAFT}),
        "settings of the engine or the pods change too",
    ),
    "the engine would get other flags": (
        lambda cluster: cluster.put(a_model_version("v2", dtype="float32")),
        "the engine would get other flags",
    ),
    "no pod is ready": (
        lambda cluster: cluster.remove(cluster.pods()[0]) or cluster.remove(cluster.pods()[0]),
        "no pod serves that could change",
    ),
    "nobody wants pods": (lambda cluster: cluster.edit(replicas=0), "no pod serves that could change"),
    "the runtimes are too old": (
        lambda cluster: setattr(cluster, "fixed", True),
        "cannot change what it serves",
    ),
    "a pod says that it has to restart": (
        lambda cluster: cluster.ends.update(v2=("Refused", "RestartRequired", "TokenizerDiffers: 2 tokens")),
        "TokenizerDiffers: 2 tokens",
    ),
}
DRAFT = {"method": "DraftModel", "draftModelVersion": "v3", "tokens": 3}


def with_secret(name: str) -> dict[str, Any]:
    model = a_model_version(name, uri="hf://org/model@" + "0" * 40)
    model["spec"]["source"]["secretName"] = "hub"
    return model


@pytest.mark.parametrize("hindrance", FALLBACKS)
def test_what_cannot_come_in_place_comes_in_new_pods_and_it_is_said_why(hindrance: str) -> None:
    cluster = serving()
    hinder, why = FALLBACKS[hindrance]
    hinder(cluster)
    cluster.edit(modelVersion="v2")
    said, noted = [], set()
    for _ in range(20):
        plan = cluster.turn()
        said += [each.message for each in plan.events if each.reason == "RestartRequired"]
        noted.add(cluster.status.get("rollout", {}).get("notInPlace", ""))
    cluster.settle()
    assert cluster.status["serving"]["version"] == "v2" if cluster.pods() else not cluster.answering()
    assert cluster.versions() == ["v2"]
    assert [why in each for each in said] == [True]
    assert any(why in each for each in noted)
    assert why in cluster.status["history"][0]["message"]
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")


def test_while_new_pods_come_instead_it_is_told_why() -> None:
    cluster = serving()
    cluster.edit(engine={"device": "CPU", "maxConcurrentSequences": 8})
    events = [*cluster.reconcile().events, *cluster.reconcile().events]
    assert ("Normal", "RestartRequired") in [(each.type, each.reason) for each in events]
    assert step(cluster) == "Provisioning"
    assert message(cluster).endswith(cluster.status["rollout"]["notInPlace"])


def test_why_new_pods_come_is_told_in_half_a_kilobyte() -> None:
    cluster = changing()
    cluster.ends["v2"] = ("Refused", "RestartRequired", "TokenizerDiffers: " + "2 tokens " * 200)
    turn_until(cluster, lambda: "notInPlace" in cluster.status.get("rollout", {}))
    assert len(cluster.status["rollout"]["notInPlace"]) == 512


def test_the_first_version_comes_in_new_pods_without_a_word() -> None:
    cluster = serving()
    assert cluster.status["history"][0]["message"] == "the Service points at it"


def test_a_version_that_is_refused_by_the_second_pod_leaves_the_first_as_it_was() -> None:
    cluster = at("Staging", changing())
    cluster.turn()
    cluster.ends["v2"] = ("Refused", "RestartRequired", "InsufficientHostMemory: 3 GiB")
    for pod in cluster.pods()[1:]:
        cluster.restart(pod)
        cluster.runtimes.pop(pod["metadata"]["uid"])
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert "InsufficientHostMemory" in cluster.status["history"][0]["message"]


@pytest.mark.parametrize("moment", ["Staging", "Canary", "Fleet", "Observing"])
def test_at_zero_nothing_is_left_to_change(moment: str) -> None:
    cluster = at(moment, changing())
    cluster.edit(replicas=0)
    cluster.settle()
    assert (cluster.pods(), cluster.versions()) == ((), ["v2"])
    assert cluster.condition("Ready")["reason"] == "ScaledToZero"
    assert cluster.status["lastGood"]["version"] == "v2"
    cluster.edit(replicas=2)
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_what_is_wanted_no_more_takes_no_new_pods_with_another_strategy() -> None:
    cluster = at("Staging", changing())
    rollout = rollout_id(cluster)
    cluster.edit(modelVersion="v3", rollout={"strategy": "BlueGreen"})
    cluster.settle()
    assert ("v2", "Superseded", "Superseded") in endings(cluster)
    made = [each.manifest["metadata"]["name"] for each in cluster.log if isinstance(each, Create)]
    assert f"{naming.colour_name('chat', rollout)}-model" not in made
    assert cluster.versions() == ["v3"]


def test_pods_that_have_the_secret_of_the_source_change_in_place() -> None:
    chat = ADeployment().with_replicas(1).with_spec(rollout=IN_PLACE).build()
    cluster = Cluster(chat, with_secret("v1"), with_secret("v2"))
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert told(cluster) == [("Stage", "v2"), ("Switch", "v2")]


def test_what_pods_refused_of_one_version_hinders_no_other() -> None:
    cluster = changing()
    cluster.ends["v2"] = ("Refused", "RestartRequired", "TokenizerDiffers: 2 tokens")
    turn_until(cluster, lambda: "notInPlace" in cluster.status.get("rollout", {}))
    cluster.edit(modelVersion="v1")
    cluster.settle()
    cluster.edit(modelVersion="v3")
    cluster.settle()
    assert told(cluster)[-2:] == [("Switch", "v3")] * 2


def test_where_nothing_is_left_of_the_colour_that_served_new_pods_come() -> None:
    cluster = serving()
    for each in (*cluster.pods(), *cluster.of_kind("ConfigMap"), *cluster.of_kind("ReplicaSet")):
        cluster.remove(each)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.versions() == ["v2"]


def test_at_zero_pods_that_are_about_to_go_are_told_nothing() -> None:
    cluster = at("Fleet", changing())
    cluster.edit(replicas=0)
    plan = cluster.plan()
    assert not any(isinstance(each, Reload | Inquire | CancelReload) for each in plan.actions)
    assert plan.requeue_after != RETRY


@pytest.mark.parametrize("strategy", ["BlueGreen", "Swap"])
@pytest.mark.parametrize("moment", ["Staging", "Canary", "Fleet"])
def test_another_strategy_takes_over_in_the_midst(moment: str, strategy: str) -> None:
    cluster = at(moment, changing())
    cluster.edit(rollout={"strategy": strategy})
    cluster.settle(60)
    assert cluster.versions() == ["v2"]
    assert f"rollout.strategy is {strategy} by now" in cluster.status["history"][0]["message"]


# who holds it, and what ends it


def test_what_lies_ready_in_pods_waits_for_a_person_and_says_so() -> None:
    cluster = at("AwaitingPromotion", changing(promotion="Manual"))
    assert "lies ready in the running pods and waits to be promoted" in message(cluster)
    assert not any(mode == "Switch" for mode, _ in told(cluster))


def test_a_person_promotes_before_the_first_pod_changes() -> None:
    cluster = at("AwaitingPromotion", changing(promotion="Manual"))
    cluster.settle()
    assert served(cluster) == ["v1", "v1"]
    assert "Reconciling" not in {each["type"] for each in cluster.status["conditions"]}
    cluster.annotate(promote="0badc0de")
    cluster.settle()
    assert served(cluster) == ["v1", "v1"]
    cluster.annotate(promote=cluster.status["rollout"]["id"])
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_a_pause_holds_it_before_the_first_pod_changes() -> None:
    cluster = at("Staging", changing())
    cluster.edit(paused=True)
    cluster.settle()
    assert step(cluster) == "Paused"
    assert message(cluster).endswith("it does not take over")
    assert served(cluster) == ["v1", "v1"]
    cluster.edit(paused=False)
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_nothing_is_staged_in_a_pause_that_was_there_before() -> None:
    cluster = changing()
    cluster.edit(paused=True)
    cluster.settle()
    assert not orders(cluster)


@pytest.mark.parametrize("moment", ["Canary", "Fleet"])
def test_a_pause_does_not_hold_what_has_begun(moment: str) -> None:
    cluster = at(moment, changing())
    cluster.reconcile()
    cluster.edit(paused=True)
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_a_version_whose_object_is_lost_goes_on_into_the_pods_that_have_it() -> None:
    cluster = at("Fleet", changing())
    cluster.remove(cluster.one("ModelVersion", "v2"))
    cluster.reconcile()
    assert cluster.condition("Stalled") == {}
    cluster.settle()
    in_its_pods(cluster, "v2")


ENDS: dict[str, tuple[tuple[str, str, str], str]] = {
    "the files are wrong": (("Refused", "NotFinite", "model.norm.weight"), "HotReloadFailed"),
    "golden prompts fail": (("RolledBack", "GoldenPromptsFailed", "token 3"), "GoldenPromptsFailed"),
    "the copy fails": (("RolledBack", "ChecksumMismatch", "page 7"), "HotReloadFailed"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_the_only_pod_refuses_or_goes_back_from_ends_at_once(end: str) -> None:
    cluster = at("Staging", changing(1))
    cluster.ends["v2"], reason = ENDS[end]
    turn_until(cluster, lambda: endings(cluster)[0][0] == "v2")
    assert endings(cluster)[0] == ("v2", "RolledBack", reason)
    writes = [each.manifest for each in cluster.log if isinstance(each, Apply)]
    (pointer,) = (each["data"]["pointer.json"] for each in writes if each["kind"] == "ConfigMap")
    assert '"sequence": 2' in pointer


@pytest.mark.parametrize("end", ENDS)
def test_what_a_pod_refuses_or_goes_back_from_is_rolled_back(end: str) -> None:
    cluster = changing()
    cluster.ends["v2"], reason = ENDS[end]
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", reason)
    assert cluster.ends["v2"][2] in cluster.status["history"][0]["message"]
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    assert "v1, as before, serves on" in cluster.condition("Stalled")["message"]
    assert cluster.status["phase"] == "Stalled"


def test_what_failed_in_pods_changes_nothing_for_those_that_come_after_them() -> None:
    cluster = changing()
    cluster.ends["v2"] = ("RolledBack", "ChecksumMismatch", "page 7")
    cluster.settle()
    cluster.edit(modelVersion="v3", rollout={"strategy": "BlueGreen"})
    cluster.settle()
    assert ["sequence" in each for each in pointers(cluster)] == [False]


def test_what_pods_have_staged_is_given_up_with_it() -> None:
    cluster = changing(3)
    cluster.ends["v2"] = ("RolledBack", "ChecksumMismatch", "page 7")
    cluster.settle()
    assert len([each for each in cluster.log if isinstance(each, CancelReload)]) == 2
    assert not any(cluster.engine(pod).told().lives for pod in cluster.pods())  # type: ignore[union-attr]


def test_what_failed_is_tried_again_and_what_pods_said_then_says_nothing_of_it() -> None:
    cluster = changing()
    cluster.ends["v2"] = ("RolledBack", "ChecksumMismatch", "page 7")
    cluster.settle()
    cluster.ends.clear()
    cluster.annotate(retry=cluster.status["history"][0]["id"])
    cluster.settle()
    in_its_pods(cluster, "v2")
    assert [each[1] for each in endings(cluster)] == ["Promoted", "RolledBack", "Promoted"]


def test_another_version_than_the_one_that_failed_comes_without_a_word() -> None:
    cluster = changing()
    cluster.ends["v2"] = ("RolledBack", "ChecksumMismatch", "page 7")
    cluster.settle()
    cluster.edit(modelVersion="v3")
    cluster.settle()
    in_its_pods(cluster, "v3")


def test_a_first_pod_that_answers_as_another_version_lets_none_follow() -> None:
    cluster = changing()
    cluster.lies["v2"] = "v9"
    at("Canary", cluster)
    for _ in range(5):
        cluster.turn()
    assert served(cluster) == ["v1", "v2"]
    assert "version v9 answered instead of v2" in message(cluster)
    cluster.pass_time(seconds=1800)
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")


def test_a_first_pod_that_has_started_again_unnoticed_is_asked_what_it_serves() -> None:
    cluster = changing()
    turn_until(cluster, lambda: served(cluster) == ["v1", "v2"])
    cluster.reconcile()
    first = next(pod for pod in cluster.pods() if cluster.served(pod) == "v2")
    # when it says one thing at its control port and does another
    cluster.engines[first["metadata"]["uid"]] = replace(cluster.engine(first), pointer=V1_POINTER, order=None)
    cluster.settle()
    # then it is told once more
    in_its_pods(cluster, "v2")


def test_a_first_pod_that_starts_again_before_golden_prompts_is_asked_what_it_serves() -> None:
    cluster = serving()
    cluster.put(with_golden_prompts(a_model_version("v2"), a_golden_prompt()))
    cluster.edit(modelVersion="v2")
    turn_until(cluster, lambda: served(cluster) == ["v1", "v2"])
    # when it has answered as the new version
    turn_until(cluster, lambda: any(each.version == "v2" for each in cluster.answers.values()))
    first = next(pod for pod in cluster.pods() if cluster.served(pod) == "v2")
    cluster.engines[first["metadata"]["uid"]] = replace(cluster.engine(first), pointer=V1_POINTER, order=None)
    cluster.settle()
    # then it is told once more
    in_its_pods(cluster, "v2")


def test_a_first_pod_that_the_webhook_does_not_want_changes_back() -> None:
    cluster = changing(verification={"webhook": {"url": "https://gate.test/"}})
    cluster.webhook["v2"] = (403, "not on a Friday")
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", "VerificationWebhookRefused")
    assert told(cluster)[-1] == ("Switch", "v1")


@pytest.mark.parametrize(("code", "version"), [(0, "v2"), (1, "v1")])
def test_a_job_tries_the_first_pod_that_changes_and_goes_with_the_rollout(code: int, version: str) -> None:
    cluster = changing(verification={"job": {"image": "tests:1"}})
    cluster.trials["v2"] = code
    turn_until(cluster, lambda: job(cluster) is not None)
    environment = (job(cluster) or {})["spec"]["template"]["spec"]["containers"][0]["env"]
    (first,) = (pod for pod in cluster.pods() if cluster.served(pod) == "v2")
    assert {"name": "SLUICEGATE_URL", "value": f"{pod_url(first, 8000)}/v1"} in environment
    cluster.settle()
    in_its_pods(cluster, version)
    assert job(cluster) is None


def test_a_job_that_the_spec_asks_for_no_more_goes_while_the_first_pod_waits_for_it() -> None:
    cluster = changing(verification={"job": {"image": "tests:1"}})
    cluster.trials["v2"] = {"phase": "Running"}
    turn_until(cluster, lambda: job(cluster) is not None)
    cluster.edit(rollout={**IN_PLACE, "verification": {}})
    cluster.reconcile()
    assert job(cluster) is None
    cluster.settle()
    in_its_pods(cluster, "v2")


def job(cluster: Cluster) -> Any:
    """The Job of the last rollout to v2."""
    jobs = [each for each in cluster.of_kind("Job") if tried_version(each) == "v2"]
    return jobs[-1] if jobs else None


def test_pods_that_never_come_to_an_end_are_given_up_at_the_deadline() -> None:
    cluster = changing()
    cluster.stuck = True
    at("Staging", cluster)
    cluster.pass_time(seconds=1800)
    cluster.reconcile()
    assert endings(cluster)[0][:2] != ("v2", "Promoted")
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")
    in_its_pods(cluster, "v1")


def test_what_keeps_a_pod_away_that_is_to_change_is_told_and_ends_nothing() -> None:
    cluster = at("Staging", changing())
    cluster.remove(cluster.pods()[0])
    words = 'pods "chat-1" is forbidden: exceeded quota: gpus'
    cluster.refuse_pods(cluster.of_kind("ReplicaSet")[0], words)
    cluster.turn()
    assert cluster.condition("Stalled")["reason"] == "PodCreationFailed"
    assert words in cluster.condition("Ready")["message"]
    assert endings(cluster)[0][0] == "v1"


def test_a_first_pod_is_asked_nothing_until_all_are_there_that_are_to_change() -> None:
    cluster = at("Canary", changing())
    cluster.remove(next(pod for pod in cluster.pods() if cluster.served(pod) == "v1"))
    cluster.refuse_pods(cluster.of_kind("ReplicaSet")[0], "exceeded quota")
    cluster.turn()
    assert (cluster.plan().requeue_after or timedelta(0)) > timedelta(minutes=1)
    cluster.pass_time(hours=1)
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "ProgressDeadlineExceeded")


def test_a_pod_of_which_nothing_is_known_yet_is_waited_for() -> None:
    cluster = at("Staging", changing())
    cluster.set_pod(cluster.pods()[1], {"phase": "Pending"})
    cluster.reconcile()
    assert (step(cluster), cluster.condition("Ready")["reason"]) == ("Staging", "Staging")


def test_what_keeps_pods_away_that_are_too_many_is_not_told() -> None:
    cluster = at("Staging", changing())
    cluster.refuse_pods(cluster.of_kind("ReplicaSet")[0], "exceeded quota")
    cluster.reconcile()
    assert cluster.condition("Ready")["reason"] == "Staging"


def loops(cluster: Cluster, pod: dict[str, Any]) -> str:
    """A pod ends on and on: what becomes of the rollout in it."""
    rollout = rollout_id(cluster)
    cluster.set_pod(pod, ended("CUDA error", restarts=3))
    cluster.reconcile()
    record = cluster.one("ControllerRevision", naming.colour_name("chat", rollout))
    return invariants.outcome(record) or "goes on"


def test_a_pod_that_ends_on_and_on_before_it_changed_is_no_fault_of_what_it_has_staged() -> None:
    cluster = at("Staging", changing())
    cluster.turn()
    assert loops(cluster, cluster.pods()[0]) == "goes on"


def test_a_pod_that_ends_on_and_on_since_an_earlier_change_is_no_fault_of_the_next() -> None:
    cluster = changed()
    cluster.edit(modelVersion="v3")
    cluster.reconcile(crash_after=1)
    cluster.set_pod(cluster.pods()[0], ended("CUDA error", restarts=3))
    cluster.reconcile()
    assert loops(cluster, cluster.pods()[0]) == "goes on"


def test_a_pod_that_ends_on_and_on_while_it_changes_takes_it_back() -> None:
    cluster = at("Canary", changing())
    first, heard = cluster.pods()[0], cluster.runtimes[cluster.pods()[0]["metadata"]["uid"]]
    assert (heard.version, heard.reload and heard.reload.mode) == ("v1", "Switch")
    assert loops(cluster, first) == "RolledBack"


def test_a_pod_that_has_changed_and_started_anew_and_ends_on_and_on_takes_it_back() -> None:
    cluster = at("Fleet", changing())
    first = next(pod for pod in cluster.pods() if cluster.served(pod) == "v2")
    cluster.restart(first)
    cluster.runtimes.pop(first["metadata"]["uid"])
    cluster.reconcile()
    assert loops(cluster, first) == "RolledBack"


def test_a_pod_that_ends_on_and_on_with_the_new_version_takes_it_back() -> None:
    cluster = at("Fleet", changing())
    cluster.trouble["v2"] = ended("CUDA error", restarts=3)
    cluster.turn()
    cluster.turn()
    cluster.trouble.clear()
    cluster.settle()
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")
    in_its_pods(cluster, "v1")


@pytest.mark.parametrize("moment", ["Staging", "Canary", "Fleet", "Observing"])
def test_somebody_ends_it(moment: str) -> None:
    cluster = at(moment, changing())
    cluster.annotate(abort=cluster.status["rollout"]["id"])
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", "Aborted")


# what is observed


def test_a_version_that_is_worse_than_the_one_before_changes_back() -> None:
    cluster = changing(observeSeconds=60)
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    turn_until(cluster, lambda: step(cluster) == "Reverting")
    assert "RegressionObserved" in message(cluster)
    assert "pods have yet to change back: pod-" in message(cluster)
    assert cluster.status["rollout"]["fromVersion"] == "v1"
    assert cluster.condition("Stalled")["reason"] == "RolledBack"
    cluster.settle()
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "RolledBack", "RegressionObserved")
    assert '"sequence": 2' in pointers(cluster)[0]


def with_one_changing_back() -> tuple[Cluster, str, str]:
    """Two pods serve a version that was given up; one of them holds its requests to change back."""
    cluster = changing(observeSeconds=60)
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    turn_until(cluster, lambda: ("Switch", "v1") in told(cluster))
    first = orders(cluster)[-1].pod_uid
    (other,) = cluster.runtimes.keys() - {first}
    cluster.restart_operator()
    cluster.reconcile()
    return cluster, first, other


def reloads(plan: Plan) -> list[str]:
    return [each.pod_uid for each in plan.actions if isinstance(each, Reload)]


def test_no_pod_changes_back_before_all_have_said_whether_they_are_at_it() -> None:
    cluster, first, _ = with_one_changing_back()
    cluster.runtimes.pop(first)
    assert reloads(cluster.plan()) == []
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_the_pod_that_an_earlier_operator_had_change_back_comes_first() -> None:
    cluster, first, other = with_one_changing_back()
    heard = cluster.runtimes
    heard[first], heard[other] = heard[other], heard[first]
    assert reloads(cluster.plan()) == []


def test_another_version_waits_for_the_end_of_what_is_observed() -> None:
    cluster = at("Observing", changing())
    cluster.edit(modelVersion="v3")
    cluster.turn()
    assert step(cluster) == "Observing"
    assert message(cluster).endswith(". v3 comes after that")
    cluster.settle()
    in_its_pods(cluster, "v3")
    assert [each[:2] for each in endings(cluster)] == [
        ("v3", "Promoted"),
        ("v2", "Promoted"),
        ("v1", "Promoted"),
    ]


def test_the_version_before_can_be_had_back_at_once() -> None:
    cluster = at("Observing", changing(observeSeconds=60))
    cluster.edit(modelVersion="v1")
    began = cluster.now
    cluster.settle()
    assert (cluster.now - began).total_seconds() < 30
    in_its_pods(cluster, "v1")
    assert endings(cluster)[0] == ("v2", "Superseded", "Superseded")
    assert cluster.condition("Ready")["reason"] == "Serving"


def test_a_version_that_never_answers_through_the_service_changes_back_when_its_time_is_over() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()
    cluster.reconcile()
    cluster.pass_time(seconds=21)
    cluster.reconcile()
    assert step(cluster) == "Reverting"
    assert "AnswerFailed" in message(cluster)


def test_a_pod_that_ends_on_and_on_beside_one_that_comes_late_takes_it_back() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    late(cluster)
    cluster.reconcile()
    cluster.set_pod(cluster.pods()[1], ended("CUDA error", restarts=3))
    cluster.reconcile()
    cluster.reconcile()
    assert endings(cluster)[0] == ("v2", "RolledBack", "EngineCrashLooping")


# who changes back


def wanted_back(replicas: int, **rollout: Any) -> Cluster:
    """The first pod has changed and another is about to, when v1 is wanted again."""
    cluster = at("Fleet", changing(replicas, **rollout))
    cluster.edit(modelVersion="v1")
    return cluster


def test_what_pods_are_at_ends_before_the_first_of_them_changes_back() -> None:
    cluster = wanted_back(3)
    plan = cluster.reconcile()
    assert [type(each) for each in plan.actions if isinstance(each, Reload | CancelReload)] == [
        CancelReload
    ] * 2
    plan = cluster.reconcile()
    assert [type(each) for each in plan.actions if isinstance(each, Reload | CancelReload)] == [Reload]


def test_pods_that_change_back_are_looked_at_again_soon_and_those_that_would_not_later() -> None:
    cluster = at("Observing", changing(observeSeconds=60))
    cluster.edit(modelVersion="v1")
    # when they are to change back, and when the first is at it
    for _ in range(2):
        assert cluster.plan().requeue_after == RETRY
        cluster.reconcile()
    # when the second is at it, and when it would not
    turn_until(cluster, lambda: served(cluster) == ["v1", "v2"])
    for _ in range(3):
        cluster.reconcile()
    assert (cluster.plan().actions, cluster.plan().requeue_after) == ((), RETRY)
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    for _ in range(4):
        cluster.turn()
    assert cluster.plan().requeue_after == PATIENCE


def test_a_rollout_that_is_yet_in_pods_is_told_of_though_another_ended_after_it() -> None:
    cluster = at("Observing", changing(1, observeSeconds=60))
    cluster.edit(modelVersion="v1")
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    cluster.turn()
    cluster.edit(modelVersion="v3", rollout={"strategy": "BlueGreen"})
    turn_until(cluster, lambda: cluster.versions() == ["v1", "v3"])
    cluster.edit(modelVersion="v1")
    turn_until(cluster, lambda: len(cluster.of_kind("ConfigMap")) == 1)
    cluster.reconcile()
    assert [each[0] for each in endings(cluster)][:2] == ["v3", "v2"]
    assert (step(cluster), cluster.status["rollout"]["toVersion"]) == ("Reverting", "v2")


def test_a_pod_that_comes_late_with_what_is_wanted_staged_changes_at_once() -> None:
    cluster = changed()
    body = {"version": "v2", "digest": digest("v2"), "source": {}, "sequence": 1, "mode": "Stage"}
    late(cluster, Order(body, 0.0, ready=True, outcome="Cancelled"))
    cluster.reconcile()
    assert cluster.plan().requeue_after == RETRY
    cluster.reconcile()
    assert told(cluster) == [("Switch", "v2")]


def test_a_pod_that_comes_late_and_brings_something_else_gives_it_up_first() -> None:
    cluster = changed()
    body = {"version": "v3", "digest": digest("v3"), "source": {}, "sequence": 9, "mode": "Stage"}
    late(cluster, Order(body, cluster._seconds(), ready=False))
    cluster.reconcile()
    cluster.reconcile()
    assert any(isinstance(each, CancelReload) for each in cluster.log)


def test_a_pod_that_is_ready_anew_is_asked_at_once_what_it_serves() -> None:
    cluster = changed()
    again = {**READY["conditions"][0], "lastTransitionTime": timestamp(cluster.now + timedelta(seconds=1))}
    cluster.set_pod(cluster.pods()[0], {**READY, "conditions": [again]})
    cluster.pass_time(seconds=2)
    plan = cluster.plan()
    assert sum(isinstance(each, Inquire) for each in plan.actions) == 1
    assert plan.requeue_after == RETRY


# whatever happens, and whenever

CHANGES: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "nothing": (lambda cluster: None, "v2"),
    "the first version is wanted again": (lambda cluster: cluster.edit(modelVersion="v1"), "v1"),
    "a third one is wanted": (lambda cluster: cluster.edit(modelVersion="v3"), "v3"),
    "one replica more": (lambda cluster: cluster.edit(replicas=3), "v2"),
    "one replica less": (lambda cluster: cluster.edit(replicas=1), "v2"),
    "the status is lost": (lambda cluster: cluster.wipe_status(), "v2"),
    "the operator restarts": (lambda cluster: cluster.restart_operator(), "v2"),
    "a pod is lost": (lambda cluster: cluster.remove(cluster.pods()[0]), "v2"),
    "another pod is lost": (lambda cluster: cluster.remove(cluster.pods()[-1]), "v2"),
    "a pod's container ends": (lambda cluster: ends(cluster, 0), "v2"),
    "another one's ends": (lambda cluster: ends(cluster, -1), "v2"),
    "the Service is lost": (lambda cluster: cluster.remove(cluster.service), "v2"),
    "the pointers are lost": (lambda cluster: lose(cluster, "ConfigMap"), "v2"),
    "the ReplicaSet is lost": (lambda cluster: lose(cluster, "ReplicaSet"), "v2"),
}


def ends(cluster: Cluster, which: int) -> None:
    """Its container starts again at once, which the operator is to hear."""
    pod = cluster.pods()[which]
    cluster.restart(pod)
    cluster.runtimes.pop(pod["metadata"]["uid"], None)


def lose(cluster: Cluster, kind: str) -> None:
    for each in cluster.of_kind(kind):
        cluster.remove(each)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_happens_at_any_moment_the_version_that_is_wanted_serves_in_the_end(change: str) -> None:
    happens, version = CHANGES[change]
    for cluster in moments(changing()):
        happens(cluster)
        cluster.settle(60)
        assert set(served(cluster)) == {version}
        assert cluster.condition("Ready")["reason"] == "Serving"
        assert set(cluster.versions()) == {version}


@pytest.mark.parametrize("ends_with", ["nothing", *ENDS])
def test_an_operator_killed_at_any_write_comes_to_the_same_end(ends_with: str) -> None:
    def begin() -> Cluster:
        cluster = changing()
        if ends_with in ENDS:
            cluster.ends["v2"] = ENDS[ends_with][0]
        return cluster

    calm = begin()
    calm.settle()
    for killed in kills(begin()):
        killed.settle(60)
        assert killed.shape() == calm.shape()
        assert served(killed) == served(calm)


def test_a_rollout_whose_record_is_lost_begins_again_or_is_given_up() -> None:
    for cluster in moments(changing()):
        lost = cluster.find("ControllerRevision", naming.colour_name("chat", rollout_id(cluster)))
        if lost is not None:
            cluster.remove(lost)
        cluster.settle(60)
        assert set(served(cluster)) == {"v2"}
        assert cluster.condition("Ready")["reason"] == "Serving"


def rollout_id(cluster: Cluster) -> str:
    return str((cluster.deployment.get("status") or {}).get("rollout", {}).get("id", "none"))


def test_a_colour_whose_record_is_lost_is_known_again_by_its_pointer_and_template() -> None:
    for cluster in moments(changing()):
        first = cluster.of_kind("ReplicaSet")[0]["metadata"]["name"]
        cluster.remove(cluster.one("ControllerRevision", first))
        cluster.settle(60)
        assert set(served(cluster)) == {"v2"}
        assert cluster.condition("Ready")["reason"] == "Serving"


def test_a_pod_that_comes_late_with_an_older_pointer_changes_too() -> None:
    cluster = changed()
    late(cluster)
    cluster.turn()
    cluster.reconcile()
    assert told(cluster)[-1] == ("Switch", "v2")
    assert (cluster.condition("Ready")["status"], cluster.condition("Ready")["reason"]) == (
        "False",
        "Superseded",
    )
    assert step(cluster) is None
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_a_pod_that_comes_late_is_no_fault_of_the_version_that_is_observed() -> None:
    cluster = at("Observing", changing(observeSeconds=20))
    late(cluster)
    cluster.settle()
    in_its_pods(cluster, "v2")
    assert endings(cluster)[0] == ("v2", "Promoted", "Promoted")


def test_a_pod_that_would_not_change_back_is_told_so_again_and_again() -> None:
    cluster = at("Fleet", changing())
    cluster.ends["v1"] = ("RolledBack", "CopyFailed", "cudaErrorUnknown")
    cluster.edit(modelVersion="v1")
    for _ in range(30):
        cluster.turn()
    again = [each for each in told(cluster) if each == ("Switch", "v1")]
    assert 2 <= len(again) <= 5
    assert step(cluster) == "Reverting"
    cluster.ends.clear()
    for _ in range(15):
        cluster.turn()
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_a_pod_that_does_not_say_what_it_serves_is_asked_now_and_then() -> None:
    cluster = changed()
    mute = cluster.pods()[0]["metadata"]["uid"]
    cluster.runtimes[mute] = replace(cluster.runtimes[mute], error="the connection broke", at=cluster.now)
    plan = cluster.plan()
    assert (plan.actions, plan.requeue_after) == ((), timedelta(seconds=10))
    cluster.pass_time(seconds=10)
    assert [type(each) for each in cluster.plan().actions] == [Inquire]


def test_versions_of_the_same_files_differ_by_what_their_answers_name() -> None:
    cluster = serving()
    renamed = a_model_version("v2")
    renamed["status"]["digest"] = a_model_version("v1")["status"]["digest"]
    cluster.put(renamed)
    cluster.edit(modelVersion="v2")
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_what_is_deleted_in_the_midst_is_told_nothing_more() -> None:
    cluster = at("Fleet", changing())
    cluster.delete()
    assert cluster.plan().actions == ()


def test_records_of_what_went_into_pods_are_kept_as_long_as_others() -> None:
    cluster = changing(historyLimit=1)
    for version in ("v2", "v3", "v1"):
        cluster.edit(modelVersion=version)
        cluster.settle()
    assert [each[0] for each in endings(cluster)] == ["v1", "v1"]
    in_its_pods(cluster, "v1")


def test_what_a_pod_said_before_it_became_ready_again_says_nothing() -> None:
    cluster = at("Fleet", changing())
    first = cluster.pods()[0]
    old = replace(cluster.engine(first), pointer=cluster.engine(cluster.pods()[1]).pointer, sequence=0)
    cluster.engines[first["metadata"]["uid"]] = replace(old, order=None)
    again = {**READY["conditions"][0], "lastTransitionTime": timestamp(cluster.now + timedelta(seconds=1))}
    cluster.set_pod(first, {**READY, "conditions": [again]})
    cluster.pass_time(seconds=2)
    cluster.reconcile()
    asked = [each.pod_uid for each in cluster.log[-2:] if isinstance(each, Inquire)]
    assert first["metadata"]["uid"] in asked
    cluster.settle()
    in_its_pods(cluster, "v2")


@pytest.mark.parametrize("lost", [False, True], ids=["the record is left", "nothing is left"])
def test_a_rollout_whose_pods_and_colour_are_gone_is_superseded_by_one_of_new_pods(lost: bool) -> None:
    cluster = at("Staging", changing())
    first = cluster.of_kind("ReplicaSet")[0]["metadata"]["name"]
    for each in (*cluster.pods(), *cluster.of_kind("ConfigMap"), *cluster.of_kind("ReplicaSet")):
        cluster.remove(each)
    if lost:
        cluster.remove(cluster.one("ControllerRevision", first))
    cluster.settle()
    assert cluster.versions() == ["v2"]
    ends = [each[:2] for each in endings(cluster)]
    assert ends[:2] == [("v2", "Promoted"), ("v2", "Superseded")]


def test_pods_without_an_address_are_told_nothing() -> None:
    for cluster in moments(changing()):
        for pod in cluster.pods():
            cluster.set_pod(pod, {"conditions": READY["conditions"]})
        for version in ("v2", "v3"):
            cluster.edit(modelVersion=version)
            actions = cluster.reconcile().actions
            assert not any(isinstance(each, Reload | Inquire | CancelReload) for each in actions)
            assert all(each.url for each in actions if isinstance(each, Ask))


def test_a_draft_model_comes_with_its_pods_only() -> None:
    cluster = Cluster(
        ADeployment()
        .with_engine(speculative={"method": "DraftModel", "draftModelVersion": "v3", "tokens": 3})
        .with_spec(rollout=IN_PLACE)
        .build(),
        *(a_model_version(name) for name in ("v1", "v2", "v3")),
    )
    cluster.settle()
    cluster.edit(modelVersion="v2")
    cluster.settle()
    assert cluster.versions() == ["v2"]
    assert "it has a draft model" in cluster.status["history"][0]["message"]


def test_a_colour_that_can_serve_again_has_its_pods_changed_back() -> None:
    cluster = at("Fleet", changing())
    cluster.edit(rollout={"strategy": "BlueGreen", "observeSeconds": 60})
    cluster.reconcile()
    old = cluster.pods()
    turn_until(cluster, lambda: step(cluster) == "Observing")
    turn_until(cluster, lambda: {cluster.served(pod) for pod in old} == {"v1"})
    assert step(cluster) == "Observing"
    cluster.edit(modelVersion="v1")
    cluster.settle()
    in_its_pods(cluster, "v1")


def test_a_pod_that_is_at_something_else_gives_it_up_first() -> None:
    cluster = at("Staging", changing())
    pod = cluster.pods()[0]["metadata"]["uid"]
    body = {"version": "v3", "digest": "sha256:3", "source": {}, "sequence": 1, "mode": "Stage"}
    cluster.engines[pod] = replace(cluster.engines[pod], order=Order(body, 0.0, ready=False))
    cluster.runtimes.clear()
    cluster.reconcile()
    cluster.reconcile()
    assert any(isinstance(each, CancelReload) for each in cluster.log)
    cluster.settle()
    in_its_pods(cluster, "v2")


def test_no_pod_changes_while_another_could_not() -> None:
    cluster = at("Staging", changing())
    mute = cluster.pods()[1]
    cluster.set_pod(mute, {"conditions": READY["conditions"]})
    cluster.runtimes.pop(mute["metadata"]["uid"])
    for _ in range(6):
        cluster.reconcile()
        cluster.pass_time(seconds=2)
    assert ("Switch", "v2") not in told(cluster)
    assert step(cluster) == "Staging"
