"""A version that comes into the pods that run: who holds it, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import (
    a_golden_prompt,
    a_model_version,
    ended,
    tried_version,
    with_golden_prompts,
)
from tests.core import invariants
from tests.core.changes_in_place import (
    ENDS,
    IN_PLACE,
    V1_POINTER,
    at,
    changed,
    changing,
    in_its_pods,
    message,
    orders,
    pointers,
    rollout_id,
    served,
    serving,
    told,
)
from tests.core.cluster import Cluster
from tests.core.journeys import endings, step, turn_until

from sluicegate.core import naming
from sluicegate.core.addresses import pod_url
from sluicegate.core.plan import Apply, CancelReload


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
