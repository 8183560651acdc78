"""`rollout promote` says that verified pods may take over, and of no other rollout than those."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import ADeployment, a_model_version
from tests.cli.rollouts import NAME, NEW, OLD, Commands, Scene
from tests.shell.rig import NAMESPACE, a_cluster

from sluicegate.cli.command import Exit
from sluicegate.cli.edit import TRIES
from sluicegate.core.naming import PROMOTE
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.kube.transport import Response

pytestmark = pytest.mark.looptime


async def _waits_for_a_person(scene: Scene, version: str = "v2") -> None:
    await scene.has_a_deployment(version)
    await _says(scene, "AwaitingPromotion")


async def _says(scene: Scene, step: str, **more: Any) -> None:
    await scene.operator_says(False, step, serving="v1", step=step, **more)


async def _annotate(scene: Scene, **annotations: str) -> None:
    ours = {f"sluicegate.dev/{key}": value for key, value in annotations.items()}
    await scene.patch({"metadata": {"annotations": ours}})


async def test_it_promotes_what_awaits_it_and_says_so(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _waits_for_a_person(scene)
    await scene.patch({"metadata": {"annotations": {"team": "a"}}})

    ended = await commands.run("promote", NAME)

    assert ended == (Exit.OK, "")
    assert await scene.annotations() == {"team": "a", PROMOTE: NEW}
    assert capsys.readouterr().out == f"promoted v2, rollout {NEW}: it takes over now\n"


async def test_said_twice_it_is_promoted_already(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _waits_for_a_person(scene)
    await commands.run("promote", NAME)
    capsys.readouterr()

    assert await commands.run("promote", NAME) == (Exit.OK, "")
    assert capsys.readouterr().out == "v2 is promoted already: so it is\n"


@pytest.mark.parametrize("step", ["Cutover", "Observing", "Draining"])
async def test_what_takes_over_is_promoted_already(step: str, scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v2")
    await _says(scene, step)

    assert await commands.run("promote", NAME) == (Exit.OK, "")
    assert await scene.annotations() == {}


async def test_what_serves_is_promoted_already(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v2")
    await scene.operator_promotes("v2")

    assert await commands.run("promote", NAME) == (Exit.OK, "")


@pytest.mark.parametrize("step", ["Provisioning", "Verifying"])
async def test_what_was_promoted_and_is_verified_again_is_promoted_already(
    step: str, scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v2")
    await _says(scene, step)
    await _annotate(scene, promote=NEW)

    assert await commands.run("promote", NAME) == (Exit.OK, "")


@pytest.mark.parametrize("step", ["Provisioning", "Verifying", "Paused"])
async def test_where_nothing_awaits_promotion_it_ends_with_one(
    step: str, scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v2")
    await _says(scene, step)
    await _annotate(scene, promote=OLD)

    ended = await commands.run("promote", NAME)

    assert ended == (Exit.FAILED, f"nothing of chat awaits promotion: {step}, so it is")
    assert await scene.annotations() == {PROMOTE: OLD}


async def test_what_failed_is_not_promoted(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v2")
    await scene.operator_says(False, "ImagePullFailed", stalled=True, serving="v1", step="Provisioning")
    await _annotate(scene, promote=NEW)

    ended = await commands.run("promote", NAME)

    assert ended == (Exit.FAILED, "nothing of chat awaits promotion: Stalled, ImagePullFailed: so it is")


async def test_what_no_operator_has_seen_is_not_promoted(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v2")

    ended = await commands.run("promote", NAME)

    assert ended == (
        Exit.FAILED,
        "nothing of chat awaits promotion: Unseen, the operator has not seen the present spec",
    )


async def test_a_version_that_came_since_is_not_promoted_in_place_of_the_one_that_waited(
    scene: Scene, commands: Commands
) -> None:
    await _waits_for_a_person(scene)
    await scene.edit(modelVersion="v3")

    assert (await commands.run("promote", NAME))[0] == Exit.FAILED
    assert await scene.annotations() == {}


async def test_another_version_than_the_named_one_is_not_promoted(scene: Scene, commands: Commands) -> None:
    await _waits_for_a_person(scene, "v3")

    ended = await commands.run("promote", NAME, "--version=v2")

    assert ended == (Exit.SUPERSEDED, "nothing is promoted: the spec asks for v3, not for v2")
    assert await scene.annotations() == {}


async def test_the_named_version_is_promoted(scene: Scene, commands: Commands) -> None:
    await _waits_for_a_person(scene)

    assert await commands.run("promote", NAME, "--version=v2") == (Exit.OK, "")
    assert await scene.annotations() == {PROMOTE: NEW}


def _change_before_each_write(scene: Scene, times: int) -> list[str]:
    """Somebody writes between the command's read and its write, so many times."""
    met: list[str] = []

    def refuse(method: str, path: str) -> Response | None:
        if method == "PATCH" and len(met) < times:
            met.append(path)
            return Response(409, b'{"kind": "Status", "reason": "Conflict", "message": "it was changed"}')
        return None

    scene.wire.refuse = refuse
    return met


async def test_a_change_between_look_and_word_is_looked_at_again(scene: Scene, commands: Commands) -> None:
    await _waits_for_a_person(scene)
    met = _change_before_each_write(scene, TRIES - 1)

    assert await commands.run("promote", NAME) == (Exit.OK, "")
    assert len(met) == TRIES - 1
    assert await scene.annotations() == {PROMOTE: NEW}


async def test_changes_without_end_end_it_with_five(scene: Scene, commands: Commands) -> None:
    await _waits_for_a_person(scene)
    _change_before_each_write(scene, TRIES)

    assert await commands.run("promote", NAME) == (Exit.USAGE_OR_PERMISSION, "it was changed")
    assert await scene.annotations() == {}


async def test_the_word_is_refused_where_the_spec_changed_since_it_was_looked_at(
    scene: Scene, commands: Commands
) -> None:
    """The command names the state that it saw, so that what came since is judged anew."""
    await _waits_for_a_person(scene)
    edits: list[str] = []

    def refuse(method: str, path: str) -> None:
        if method == "PATCH" and not edits:
            edits.append("v3")
            spec = {"modelVersion": "v3"}
            scene.server.hand("kubectl").patch(LLM_DEPLOYMENT, NAMESPACE, NAME, {"spec": spec})

    scene.wire.refuse = refuse

    assert (await commands.run("promote", NAME))[0] == Exit.FAILED
    assert await scene.annotations() == {}


async def test_who_may_not_is_told_so_with_five(scene: Scene, commands: Commands) -> None:
    await _waits_for_a_person(scene)
    scene.wire.refuse = lambda method, path: Response(403, b"you may not") if method == "PATCH" else None

    assert await commands.run("promote", NAME) == (Exit.USAGE_OR_PERMISSION, "not allowed: you may not")


async def test_what_is_not_there_ends_it_with_five(commands: Commands) -> None:
    ended, told = await commands.run("promote", NAME)

    assert ended == Exit.USAGE_OR_PERMISSION
    assert 'no LLMDeployment "chat"' in told


async def test_a_real_operator_waits_for_the_word_and_takes_it(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = ADeployment(NAME, NAMESPACE).of("v1").with_spec(rollout={"promotion": "Manual"}).build()
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), chat) as rig:
        # given
        commands.speak_to(Scene(rig.site.server).wire)
        await rig.until_ready()
        await rig.settle()
        await rig.patch(LLM_DEPLOYMENT, NAME, {"spec": {"modelVersion": "v2"}})
        waits, told = await commands.run("wait", NAME)
        before = (await rig.status())["serving"]["version"]
        # when
        promoted = await commands.run("promote", NAME, "--version=v2")
        ended = await commands.run("wait", NAME)
        # then
        assert (waits, before) == (Exit.AWAITING_PROMOTION, "v1")
        assert "kubectl sluice rollout promote chat -n models" in told
        assert promoted == ended == (Exit.OK, "")
        assert (await rig.status())["serving"]["version"] == "v2"
