"""What cannot come into the pods that run comes in new ones, and it is said why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.builders import (
    ADeployment,
    a_model_version,
)
from tests.core.changes_in_place import (
    IN_PLACE,
    at,
    changing,
    in_its_pods,
    message,
    rollout_id,
    serving,
    told,
)
from tests.core.cluster import Cluster
from tests.core.journeys import endings, step, turn_until

from sluicegate.core import naming
from sluicegate.core.control import RETRY
from sluicegate.core.plan import CancelReload, Create, Inquire, Reload

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
