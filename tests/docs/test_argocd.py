"""What Argo CD is told about our objects, run as it runs it, on what the operator writes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime, lua_type
from tests.builders import a_model_version
from tests.cli.builders import a_condition, a_deployment
from tests.shell import rig
from tests.shell.rig import Rig, a_cluster

from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

CUSTOMIZATIONS = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "guides" / "argocd" / "argocd-cm.yaml").read_text()
)["data"]
ACTIONS = yaml.safe_load(CUSTOMIZATIONS["resource.customizations.actions.sluicegate.dev_LLMDeployment"])
HELD = {"sluicegate.dev/reconcile": "Disabled"}

# Argo CD has Lua 5.1 without most of its library.
WITHOUT = ("string", "math", "io", "os", "debug", "coroutine")


def _run(script: str, obj: dict[str, Any]) -> Any:
    lua = LuaRuntime(unpack_returned_tuples=True)
    for name in WITHOUT:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(obj, recursive=True)
    return _plain(lua.execute(script))


def _plain(value: Any) -> Any:
    return {key: _plain(inner) for key, inner in value.items()} if lua_type(value) == "table" else value


def _health(obj: dict[str, Any], kind: str = "LLMDeployment") -> tuple[str, str]:
    told = _run(CUSTOMIZATIONS[f"resource.customizations.health.sluicegate.dev_{kind}"], obj)
    return told["status"], told["message"]


async def _healths_until_healthy(cluster: Rig, version: str) -> list[str]:
    """Each health that is seen once the version is changed."""
    since = await cluster.version_of(LLM_DEPLOYMENT)
    await cluster.patch(LLM_DEPLOYMENT, "chat", {"spec": {"modelVersion": version}})
    seen: list[str] = []
    async with aclosing(cluster.watch(LLM_DEPLOYMENT, since)) as events:
        async for event in events:
            seen.append(_health(event.object)[0])
            if seen[-1] == "Healthy":
                break
    return list(dict.fromkeys(seen))


@pytest.mark.looptime
async def test_a_change_of_version_is_in_progress_until_the_new_one_alone_answers() -> None:
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), rig.a_deployment()) as cluster:
        # given
        await cluster.until_ready()
        await cluster.settle()
        # when
        seen = await asyncio.wait_for(_healths_until_healthy(cluster, "v2"), 300)
        # then
        status = await cluster.status()
        assert seen == ["Progressing", "Healthy"]
        assert status["serving"]["version"] == "v2"
        assert "rollout" not in status
        assert _health(await cluster.get(LLM_DEPLOYMENT, "chat")) == (
            "Healthy",
            "Serving: v2 answers through the Service",
        )


@pytest.mark.looptime
async def test_a_version_that_is_missing_degrades_it() -> None:
    async with a_cluster(rig.a_deployment()) as cluster:
        await cluster.settle()

        status, message = _health(await cluster.get(LLM_DEPLOYMENT, "chat"))

    assert status == "Degraded"
    assert message.startswith("ModelVersionNotFound: ModelVersion v1 does not exist")


@pytest.mark.looptime
async def test_a_version_that_is_inspected_is_in_progress() -> None:
    async with a_cluster(a_model_version(ready=False)) as cluster:
        await cluster.settle()

        found = _health(await cluster.get(MODEL_VERSION, "v1"), "ModelVersion")

    assert found == ("Progressing", "Inspecting: a Job reads and checks every file")


SAMPLES = {
    "nothing is written yet": (a_deployment(observed=-1), "Progressing"),
    "no status at all": ({**a_deployment(), "status": None}, "Progressing"),
    "no conditions": ({**a_deployment(), "status": {"observedGeneration": 1}}, "Progressing"),
    "a verified version": (a_deployment(a_condition("Ready", "True", "Verified")), "Healthy"),
    "a bad version": (
        a_deployment(
            a_condition("Ready", "False", "DigestMismatch"), a_condition("Stalled", "True", "DigestMismatch")
        ),
        "Degraded",
    ),
    "a condition that does not hold": (
        a_deployment(a_condition("Stalled", "False", "Serving"), a_condition("Ready", "True", "Serving")),
        "Healthy",
    ),
    "not ready for a reason that passes": (
        a_deployment(a_condition("Ready", "False", "Provisioning")),
        "Progressing",
    ),
    "verified pods that wait for a person": (
        a_deployment(a_condition("Ready", "False", "AwaitingPromotion")),
        "Suspended",
    ),
    "a change that is paused": (a_deployment(a_condition("Ready", "False", "Paused")), "Suspended"),
    "a change that is paused, and pods that are in trouble": (
        a_deployment(
            a_condition("Ready", "False", "Unschedulable"),
            a_condition("Reconciling", "True", "Unschedulable"),
        ),
        "Progressing",
    ),
    "ready, and pods are missing": (
        a_deployment(a_condition("Ready", "True", "Serving"), a_condition("Reconciling", "True", "Scaling")),
        "Progressing",
    ),
    "ready for the spec before": (
        a_deployment(a_condition("Ready", "True", "Serving"), observed=0),
        "Progressing",
    ),
}


@pytest.mark.parametrize("kind", ["LLMDeployment", "ModelVersion"])
@pytest.mark.parametrize(("obj", "status"), SAMPLES.values(), ids=SAMPLES.keys())
def test_the_health_of(obj: dict[str, Any], status: str, kind: str) -> None:
    assert _health(obj, kind)[0] == status


def _annotated(annotations: dict[str, str] | None) -> dict[str, Any]:
    deployment = a_deployment(a_condition("Ready", "True", "Serving"))
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}


def test_a_hold_suspends_it() -> None:
    assert _health(_annotated(HELD))[0] == "Suspended"
    assert _health(_annotated({"sluicegate.dev/reconcile": "Enabled"}))[0] == "Healthy"


@pytest.mark.parametrize("others", [None, {"team": "a"}], ids=["no annotations", "others"])
def test_the_actions_hold_it_and_let_it_go_and_touch_nothing_else(others: dict[str, str] | None) -> None:
    # given
    actions = {each["name"]: each["action.lua"] for each in ACTIONS["definitions"]}
    free, held = _annotated(others), _annotated({**(others or {}), **HELD})
    # when
    once_held, once_free = _run(actions["hold"], free), _run(actions["release"], held)
    # then
    assert once_held["metadata"]["annotations"] == held["metadata"]["annotations"]
    assert once_free["metadata"].get("annotations") == others
    assert once_held["spec"] == free["spec"]


@pytest.mark.parametrize("annotations", [None, HELD], ids=["free", "held"])
def test_the_one_action_that_makes_a_difference_is_offered(annotations: dict[str, str] | None) -> None:
    offered = _run(ACTIONS["discovery.lua"], _annotated(annotations))

    assert {name for name, action in offered.items() if not action["disabled"]} == {
        "release" if annotations else "hold"
    }


@pytest.mark.parametrize("step", ["AwaitingPromotion", "Verifying", "Paused", "Observing"])
def test_a_promotion_is_offered_where_one_is_waited_for(step: str) -> None:
    deployment = a_deployment(a_condition("Ready", "False", step), rollout={"id": "0a1b2c3d", "step": step})

    offered = _run(ACTIONS["discovery.lua"], deployment)

    assert offered["promote"]["disabled"] == (step != "AwaitingPromotion")


@pytest.mark.parametrize("others", [None, {"team": "a"}], ids=["no annotations", "others"])
def test_a_promotion_names_the_rollout_that_waits(others: dict[str, str] | None) -> None:
    rollout = {"id": "0a1b2c3d", "step": "AwaitingPromotion"}
    waits = {**_annotated(others), "status": {"rollout": rollout}}

    promoted = _run(next(e["action.lua"] for e in ACTIONS["definitions"] if e["name"] == "promote"), waits)

    assert promoted["metadata"]["annotations"] == {**(others or {}), "sluicegate.dev/promote": "0a1b2c3d"}


@pytest.mark.parametrize("rollout", [None, {"id": "0a1b2c3d", "step": "Provisioning"}])
def test_a_rollout_that_does_not_wait_any_more_is_not_promoted(rollout: dict[str, str] | None) -> None:
    later = {**_annotated(None), "status": {"rollout": rollout}}

    promoted = _run(next(e["action.lua"] for e in ACTIONS["definitions"] if e["name"] == "promote"), later)

    assert "annotations" not in promoted["metadata"]


FAILED = {
    "conditions": [{"type": "Stalled", "status": "True", "reason": "RolledBack"}],
    "history": [
        {"id": "00000000", "outcome": "Superseded"},
        {"id": "0a1b2c3d", "outcome": "RolledBack"},
        {"id": "11111111", "outcome": "RolledBack"},
    ],
}


def _at(step: str) -> dict[str, Any]:
    return {"rollout": {"id": "0a1b2c3d", "step": step}}


WORDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "an abort of pods that come up": ("abort", _at("Provisioning"), True),
    "an abort of what waits for a person": ("abort", _at("AwaitingPromotion"), True),
    "no abort of what takes over": ("abort", _at("Cutover"), False),
    "no abort of nothing": ("abort", {}, False),
    "a retry of what failed last": ("retry", FAILED, True),
    "no retry of a failure that is over": ("retry", {**FAILED, "conditions": []}, False),
    "no retry of nothing": ("retry", {}, False),
}


@pytest.mark.parametrize("others", [None, {"team": "a"}], ids=["no annotations", "others"])
@pytest.mark.parametrize(("name", "status", "said"), WORDS.values(), ids=WORDS)
def test_an_action_is_offered_and_names_the_rollout_where_there_is_one(
    name: str, status: dict[str, Any], said: bool, others: dict[str, str] | None
) -> None:
    deployment = {**_annotated(others), "status": status}
    action = next(each["action.lua"] for each in ACTIONS["definitions"] if each["name"] == name)

    offered = _run(ACTIONS["discovery.lua"], deployment)
    done = _run(action, deployment)["metadata"].get("annotations") or {}

    word = {f"sluicegate.dev/{name}": "0a1b2c3d"} if said else {}
    assert offered[name]["disabled"] == (not said)
    assert done == {**(others or {}), **word}


def test_every_action_that_is_offered_is_there() -> None:
    offered = _run(ACTIONS["discovery.lua"], _annotated(None))

    assert set(offered) == {each["name"] for each in ACTIONS["definitions"]}
