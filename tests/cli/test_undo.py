"""`rollout undo` puts a version back that was promoted before, of the state that it looked at."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError
from tests.builders import ADeployment, a_model_version
from tests.cli.rollouts import NAME, SINCE, Commands, Scene
from tests.core.generated import a_spec
from tests.shell.rig import NAMESPACE, a_cluster

from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.cli.command import Exit
from sluicegate.cli.edit import TRIES
from sluicegate.cli.undo import way_back
from sluicegate.core.target import template_fields
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT, MODEL_VERSION
from sluicegate.kube.transport import Response

pytestmark = pytest.mark.looptime


def _ended(id: str, version: str, outcome: str = "Promoted") -> dict[str, Any]:
    return {"id": id, "version": version, "outcome": outcome, "reason": outcome, "finishedAt": SINCE}


PAST = [_ended("cccccccc", "v3"), _ended("bbbbbbbb", "v2", "RolledBack"), _ended("aaaaaaaa", "v1")]
GONE = "make it again, or name another with --to"


async def _stands(
    scene: Scene, version: str, history: list[dict[str, Any]], good: str, *, route: str = "Promoted"
) -> None:
    """The spec asks for a version, and `good` was promoted last, to this spec or to an earlier one."""
    for each in ("v1", "v2", "v3"):
        made = a_model_version(each)
        meta = {"namespace": NAMESPACE, "name": each}
        await scene.truth.create({**made, "metadata": meta, "status": {}}, "kubectl")
    await scene.has_a_deployment(version)
    points = str(route in ("Promoted", "Observing"))
    ready = {"type": "RouteReady", "status": points, "reason": route, "observedGeneration": 1}
    status = {
        "observedGeneration": 1,
        "conditions": [{**ready, "lastTransitionTime": SINCE}],
        "history": history,
        "lastGood": {"version": "", "rollout": good},
    }
    await scene.patch({"status": status}, "status")


async def _asked(scene: Scene) -> str:
    live = await scene.truth.get(LLM_DEPLOYMENT, NAMESPACE, NAME)
    return str(live["spec"]["modelVersion"])


async def test_what_was_promoted_before_is_asked_for_again(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")

    assert await commands.run("undo", NAME) == (Exit.OK, "")
    assert await _asked(scene) == "v1"
    assert capsys.readouterr().out == "the spec asks for v1 again, no longer for v3\n"


@pytest.mark.parametrize(
    ("history", "route"),
    [(PAST[1:], "RolledBack"), (PAST[2:], "Provisioning"), (PAST[2:], "Observing")],
    ids=["that failed", "under way", "observed"],
)
async def test_of_a_change_that_was_not_promoted_what_served_before_is_asked_for_again(
    history: list[dict[str, Any]], route: str, scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v2", history, "aaaaaaaa", route=route)

    assert await commands.run("undo", NAME) == (Exit.OK, "")
    assert await _asked(scene) == "v1"


async def test_of_a_change_that_no_operator_has_seen_what_serves_is_asked_for_again(
    scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v1", PAST[2:], "aaaaaaaa")
    await scene.edit(modelVersion="v3")

    assert await commands.run("undo", NAME) == (Exit.OK, "")
    assert await _asked(scene) == "v1"


@pytest.mark.parametrize("to", ["v1", "aaaaaaaa"])
async def test_a_rollout_or_version_that_is_named_is_asked_for_and_may_be_twice(
    to: str, scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")

    for _ in range(2):
        assert await commands.run("undo", NAME, "--to", to) == (Exit.OK, "")
    assert await _asked(scene) == "v1"
    assert capsys.readouterr().out.splitlines()[-1] == "the spec asks for v1 already"


@pytest.mark.parametrize("to", ["v2", "bbbbbbbb", "v9"])
async def test_what_was_never_promoted_is_not_gone_back_to(to: str, scene: Scene, commands: Commands) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")

    code, told = await commands.run("undo", NAME, "--to", to)

    assert (code, await _asked(scene)) == (Exit.FAILED, "v3")
    assert f"no rollout of the history that was promoted is {to} or of {to}" in told


async def test_before_the_first_version_there_is_nothing(scene: Scene, commands: Commands) -> None:
    await _stands(scene, "v1", PAST[2:], "aaaaaaaa")

    ended = await commands.run("undo", NAME)

    assert ended == (Exit.FAILED, "nothing is undone: nothing was promoted before the present spec")


async def test_what_no_operator_has_ever_seen_is_not_undone(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v1")

    assert (await commands.run("undo", NAME))[0] == Exit.FAILED


async def test_a_change_of_settings_alone_is_undone_by_its_record(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _stands(scene, "v1", [_ended("dddddddd", "v1"), *PAST[2:]], "dddddddd")
    await scene.edit(engine={"maxConcurrentSequences": 7, "dtype": "Float32"}, pod={"labels": {"a": "1"}})
    await scene.patch({"status": {"observedGeneration": 2}}, "status")
    await _recorded(
        scene, "aaaaaaaa", {"modelVersion": "v1", "engine": {"dtype": "Float32", "maxModelLength": 512}}
    )

    assert await commands.run("undo", NAME) == (Exit.OK, "")

    live = await scene.truth.get(LLM_DEPLOYMENT, NAMESPACE, NAME)
    engine = live["spec"]["engine"]
    assert (engine["maxConcurrentSequences"], engine["maxModelLength"], engine["dtype"]) == (
        64,
        512,
        "Float32",
    )
    assert not live["spec"]["pod"].get("labels")
    assert capsys.readouterr().out == "the spec asks for v1, with engine, pod as in rollout aaaaaaaa\n"


async def test_a_change_of_settings_alone_cannot_be_undone_without_a_record(
    scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v1", [_ended("dddddddd", "v1"), *PAST[2:]], "dddddddd")

    code, told = await commands.run("undo", NAME)

    assert code == Exit.FAILED
    assert "what was promoted before is v1 too, with other settings, which are not on record" in told


async def test_a_model_version_that_is_gone_is_not_asked_for(scene: Scene, commands: Commands) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")
    await scene.truth.delete(MODEL_VERSION, NAMESPACE, "v1")

    ended = await commands.run("undo", NAME)

    assert ended == (Exit.FAILED, f"nothing is undone: the ModelVersion v1 is gone: {GONE}")
    assert await _asked(scene) == "v3"


async def test_a_model_version_that_is_being_deleted_is_not_asked_for(
    scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")
    held = {"metadata": {"finalizers": ["sluicegate.dev/in-use"]}}
    await scene.truth.patch_merge(MODEL_VERSION, NAMESPACE, "v1", held, "kubectl")
    await scene.truth.delete(MODEL_VERSION, NAMESPACE, "v1")

    ended = await commands.run("undo", NAME)

    assert ended == (Exit.FAILED, f"nothing is undone: the ModelVersion v1 is being deleted: {GONE}")


async def test_a_spec_that_changed_since_it_was_looked_at_is_judged_anew(
    scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")
    edits: list[str] = []

    def refuse(method: str, path: str) -> None:
        if method == "PATCH" and not edits:
            edits.append("v1")
            scene.server.hand("kubectl").patch(
                LLM_DEPLOYMENT, NAMESPACE, NAME, {"spec": {"modelVersion": "v1"}}
            )

    scene.wire.refuse = refuse

    assert (await commands.run("undo", NAME))[0] == Exit.OK
    assert await _asked(scene) == "v3"


@pytest.mark.parametrize(("code", "times"), [(403, 1), (409, TRIES)], ids=["forbidden", "changed each time"])
async def test_what_cannot_be_written_ends_it_with_five(
    code: int, times: int, scene: Scene, commands: Commands
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")
    tried: list[str] = []

    def refuse(method: str, path: str) -> Response | None:
        if method != "PATCH":
            return None
        tried.append(path)
        reason = {403: "Forbidden", 409: "Conflict"}[code]
        return Response(code, f'{{"kind": "Status", "reason": "{reason}", "message": "no"}}'.encode())

    scene.wire.refuse = refuse

    assert (await commands.run("undo", NAME))[0] == Exit.USAGE_OR_PERMISSION
    assert len(tried) == times


async def test_a_deployment_that_is_not_there_ends_it_with_five(commands: Commands) -> None:
    assert (await commands.run("undo", NAME))[0] == Exit.USAGE_OR_PERMISSION


async def test_a_real_operator_goes_back_to_a_version_and_to_its_settings(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = ADeployment(NAME, NAMESPACE).of("v1").build()
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), chat) as rig:
        # given
        commands.speak_to(Scene(rig.site.server).wire)
        await rig.until_ready()
        await rig.settle()
        await rig.patch(LLM_DEPLOYMENT, NAME, {"spec": {"modelVersion": "v2"}})
        await commands.run("wait", NAME)
        # when
        undone = await commands.run("undo", NAME)
        ended = await commands.run("wait", NAME, "--version=v1")
        # then
        assert undone == ended == (Exit.OK, "")
        assert (await rig.status())["serving"]["version"] == "v1"
        assert capsys.readouterr().err == ""
        # and with another engine
        more = {"spec": {"modelVersion": "v2", "engine": {"maxConcurrentSequences": 7}}}
        await rig.patch(LLM_DEPLOYMENT, NAME, more)
        await commands.run("wait", NAME)
        assert await commands.run("undo", NAME) == (Exit.OK, "")
        assert "v1 again, no longer for v2, with engine as in" in capsys.readouterr().out
        assert await commands.run("wait", NAME, "--version=v1") == (Exit.OK, "")
        assert (await rig.status())["serving"]["version"] == "v1"
        # and forth, of the record of the very pods
        assert await commands.run("undo", NAME) == (Exit.OK, "")
        live = await rig.get(LLM_DEPLOYMENT, NAME)
        assert live["spec"]["engine"]["maxConcurrentSequences"] == 7


def test_from_any_spec_the_way_back_leads_to_what_pods_were_made_of_then_and_changes_nothing_else() -> None:
    for number in range(300):
        now, then = _two_legal_specs(random.Random(number))
        asked = template_fields(LLMDeploymentSpec.model_validate(then))

        way = way_back({"spec": now}, _ended("aaaaaaaa", then["modelVersion"]), asked)

        before = LLMDeploymentSpec.model_validate(now)
        after = LLMDeploymentSpec.model_validate(_patched(now, way.patch))
        drain = {"drain_seconds": before.rollout.drain_seconds}
        assert template_fields(after) == asked, number
        assert after.rollout.model_copy(update=drain) == before.rollout
        assert (after.replicas, after.paused) == (before.replicas, before.paused)


def _two_legal_specs(choose: random.Random) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < 2:
        spec = ADeployment(spec=a_spec(choose)).build()["spec"]
        with suppress(ValidationError):
            LLMDeploymentSpec.model_validate(spec)
            found.append(spec)
    return found


def _patched(value: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396."""
    kept = {name: part for name, part in value.items() if name not in patch}
    told = {name: part for name, part in patch.items() if part is not None}
    below = {name: part for name, part in told.items() if isinstance(part, Mapping)}
    return {**kept, **told, **{name: _patched(value.get(name) or {}, part) for name, part in below.items()}}


async def test_settings_that_are_not_on_record_are_told_of(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _stands(scene, "v3", PAST, "cccccccc")
    await _recorded(scene, "aaaaaaaa", None)

    assert (await commands.run("undo", NAME))[0] == Exit.OK
    assert await _asked(scene) == "v1"
    assert "the settings of rollout aaaaaaaa are not on record" in capsys.readouterr().err


async def _recorded(scene: Scene, rollout: str, spec: dict[str, Any] | None) -> None:
    """What the operator keeps of a rollout, as one did before it kept the spec or as one does."""
    record = {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": "ControllerRevision",
        "metadata": {"namespace": NAMESPACE, "name": f"{NAME}-{rollout}"},
        "revision": 1,
        "data": {"target": "x.y"} if spec is None else {"target": "x.y", "spec": spec},
    }
    await scene.truth.create(record, "kubectl")
