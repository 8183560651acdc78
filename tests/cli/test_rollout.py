"""`rollout wait` ends with the code of what came of the rollout, and tells each step on the way."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentTypeError
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.builders import ADeployment, a_model_version
from tests.cli.rollouts import NAME, Commands, Scene
from tests.shell.kit import now
from tests.shell.rig import NAMESPACE, Rig, a_cluster

from sluicegate.cli import main as cli
from sluicegate.cli.command import Exit
from sluicegate.cli.duration import duration
from sluicegate.cli.outcome import GRACE_SECONDS
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.kube.transport import Response

pytestmark = pytest.mark.looptime

HOLD = {"metadata": {"annotations": {"sluicegate.dev/reconcile": "Disabled"}}}
LET_GO = {"metadata": {"annotations": {"sluicegate.dev/reconcile": None}}}


async def _meanwhile(*events: tuple[float, Callable[[], Awaitable[None]]]) -> None:
    """Each so many seconds after the one before."""
    for seconds, event in events:
        await asyncio.sleep(seconds)
        await event()


async def _waited(
    commands: Commands, *argv: str, meanwhile: tuple[tuple[float, Callable[[], Awaitable[None]]], ...] = ()
) -> tuple[int, str]:
    ended, _ = await asyncio.gather(commands.run("wait", NAME, *argv), _meanwhile(*meanwhile))
    return ended


async def test_it_ends_with_zero_once_the_version_is_promoted(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    await scene.has_a_deployment("v1")
    await scene.operator_promotes("v1")
    await scene.edit(modelVersion="v2")
    says = scene.operator_says
    # when
    ended = await _waited(
        commands,
        meanwhile=(
            (2, partial(says, False, "Provisioning", serving="v1", step="Provisioning")),
            (3, partial(says, False, "Unschedulable", message="no room", serving="v1", step="Provisioning")),
            (3, partial(says, False, "Unschedulable", message="none", serving="v1", step="Provisioning")),
            (4, partial(says, False, "Cutover", serving="v1", step="Cutover")),
            (2, partial(scene.operator_promotes, "v2")),
        ),
    )
    # then
    told = capsys.readouterr()
    assert ended == (Exit.OK, "")
    assert [" ".join(line.split()) for line in told.out.splitlines()] == [
        "0s Unseen the operator has not seen the present spec",
        "2s Provisioning so it is",
        "5s Provisioning Unschedulable: no room",
        "12s Cutover so it is",
        "14s Promoted Serving: v2 answers",
    ]
    assert told.err == ""


async def test_a_version_that_serves_already_ends_it_at_once(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_promotes("v1")

    assert await _waited(commands) == (Exit.OK, "")
    assert now() < 1


async def test_a_status_of_the_spec_before_says_nothing_good_or_bad(scene: Scene, commands: Commands) -> None:
    # given a failure that the operator told of the spec before the last change
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, "InvalidSpec", stalled=True)
    await scene.edit(replicas=2)
    # when
    ended = await _waited(commands, meanwhile=((100, partial(scene.operator_promotes, "v1")),))
    # then
    assert ended == (Exit.OK, "")
    assert now() >= 100


async def test_a_failure_ends_it_with_one_and_with_its_reason(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await scene.has_a_deployment("v1")
    fails = partial(scene.operator_says, False, "InvalidSpec", message="it is wrong", stalled=True)

    ended = await _waited(commands, meanwhile=((5, fails),))

    assert ended == (Exit.FAILED, "the rollout of v1 failed: InvalidSpec: it is wrong")
    assert now() < 6
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("5s", "Stalled", "InvalidSpec:", "it", "is", "wrong")
    ]


async def test_a_failure_that_may_heal_is_believed_when_it_lasts(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, "ImagePullFailed", message="no such image", stalled=True)

    ended = await _waited(commands)

    assert ended == (Exit.FAILED, "the rollout of v1 failed: ImagePullFailed: no such image")
    assert GRACE_SECONDS <= now() <= GRACE_SECONDS + 15


async def test_a_failure_that_heals_in_time_is_none(scene: Scene, commands: Commands) -> None:
    """Neither is the next one, whose time begins anew."""
    await scene.has_a_deployment("v1")
    fails = partial(scene.operator_says, False, "ImagePullFailed", stalled=True)
    goes_on = partial(scene.operator_says, False, "Provisioning", step="Provisioning")

    ended = await _waited(
        commands,
        meanwhile=(
            (0, fails),
            (GRACE_SECONDS - 5, goes_on),
            (1, fails),
            (GRACE_SECONDS - 5, partial(scene.operator_promotes, "v1")),
        ),
    )

    assert ended == (Exit.OK, "")


async def test_a_crash_loop_beside_what_serves_ends_it_when_the_operator_has_rolled_it_back(
    scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v2")
    await scene.operator_says(
        False, "EngineCrashLooping", stalled=True, serving="v1", step="Provisioning", message="CUDA error"
    )
    words = "the rollout of v2 failed: EngineCrashLooping: CUDA error"
    gone = partial(scene.operator_says, False, "RolledBack", stalled=True, serving="v1", message=words)

    ended = await _waited(commands, meanwhile=((3 * GRACE_SECONDS, gone),))

    assert ended == (Exit.FAILED, f"the rollout of v2 failed: RolledBack: {words}")
    assert 3 * GRACE_SECONDS <= now() < 3 * GRACE_SECONDS + 2


async def test_the_time_is_up_ends_it_with_two_and_with_what_it_waited_for(
    scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, "Unschedulable", message="no room", step="Provisioning")

    ended = await _waited(commands, "--timeout", "1m30s")

    assert ended == (Exit.TIMEOUT, "v1 is not promoted after 90 s: Provisioning, Unschedulable: no room")
    assert now() == pytest.approx(90, abs=1)


async def test_a_failure_is_not_told_of_when_the_time_is_up_before_it_lasted(
    scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, "ImagePullFailed", message="none", stalled=True)

    ended = await _waited(commands, "--timeout=10s")

    assert ended == (Exit.TIMEOUT, "v1 is not promoted after 10 s: Stalled, ImagePullFailed: none")


@pytest.mark.parametrize("version", [(), ("--version", "v1")], ids=["the spec's version", "a named version"])
async def test_another_version_in_the_spec_ends_it_with_three(
    version: tuple[str, ...], scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v1")

    ended = await _waited(commands, *version, meanwhile=((5, partial(scene.edit, modelVersion="v2")),))

    assert ended == (
        Exit.SUPERSEDED,
        "the rollout of v1 is superseded: the spec asks for v2, not for v1",
    )


async def test_a_version_that_the_spec_does_not_ask_for_is_superseded_though_it_serves(
    scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_promotes("v1")
    await scene.edit(modelVersion="v2")

    assert (await _waited(commands, "--version=v1"))[0] == Exit.SUPERSEDED


async def test_a_deletion_ends_it_with_three(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v1")

    ended = await _waited(commands, meanwhile=((5, scene.delete),))

    assert ended == (Exit.SUPERSEDED, "the rollout of v1 is superseded: the LLMDeployment was deleted")


async def test_one_of_the_same_name_is_not_taken_for_the_deleted_one(
    scene: Scene, commands: Commands
) -> None:
    """Both happen while the command sees nothing."""
    await scene.has_a_deployment("v1")

    async def replaced() -> None:
        scene.away(5)
        await scene.delete()
        await scene.has_a_deployment("v1")
        await scene.operator_promotes("v1")

    assert (await _waited(commands, meanwhile=((5, replaced),)))[0] == Exit.SUPERSEDED


async def test_a_wait_for_a_person_ends_it_with_four_and_with_how_it_goes_on(
    scene: Scene, commands: Commands
) -> None:
    await scene.has_a_deployment("v2")
    waits = partial(
        scene.operator_says, False, "AwaitingPromotion", message="say so", step="AwaitingPromotion"
    )

    ended = await _waited(commands, meanwhile=((5, waits),))

    assert ended == (Exit.AWAITING_PROMOTION, "say so")
    assert now() < 6


async def test_other_changes_of_the_spec_are_waited_for_too(scene: Scene, commands: Commands) -> None:
    await scene.has_a_deployment("v1")

    async def changed() -> None:
        await scene.edit(replicas=3)

    ended = await _waited(commands, meanwhile=((5, changed), (60, partial(scene.operator_promotes, "v1"))))

    assert ended == (Exit.OK, "")
    assert now() >= 65


async def test_a_hold_is_told_and_waited_for(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a hold of a deployment that was ready, and may not be so any more
    await scene.has_a_deployment("v1")
    await scene.operator_promotes("v1")
    await scene.patch(HOLD)
    # when
    ended = await _waited(commands, meanwhile=((100, partial(scene.patch, LET_GO)),))
    # then
    assert ended == (Exit.OK, "")
    assert now() >= 100
    assert capsys.readouterr().err.splitlines() == [
        "sluicegate: waits for the end of a hold: the annotation sluicegate.dev/reconcile=Disabled stops the "
        "operator"
    ]


async def test_for_programs_each_line_is_an_object_and_the_last_one_has_the_outcome(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, "Provisioning", step="Provisioning")

    ended = await _waited(commands, "--output=json", meanwhile=((5, partial(scene.operator_promotes, "v1")),))

    *steps, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ended == (Exit.OK, "")
    assert steps == [
        {"elapsedSeconds": 0.0, "step": "Provisioning", "reason": "Provisioning", "message": "so it is"},
        {"elapsedSeconds": 5.0, "step": "Promoted", "reason": "Serving", "message": "v1 answers"},
    ]
    assert last == {
        "elapsedSeconds": 5.0,
        "outcome": "Promoted",
        "exitCode": 0,
        "version": "v1",
        "reason": "Serving",
        "message": "v1 answers",
    }


OTHER_ENDS = {
    "Failed": ({"reason": "InvalidSpec", "stalled": True}, (), 1, "InvalidSpec"),
    "Timeout": ({"reason": "Verifying", "step": "Verifying"}, (), 2, "Verifying"),
    "Superseded": ({"reason": "Verifying"}, ("--version=v2",), 3, "Superseded"),
    "AwaitingPromotion": (
        {"reason": "AwaitingPromotion", "step": "AwaitingPromotion"},
        (),
        4,
        "AwaitingPromotion",
    ),
}


@pytest.mark.parametrize("outcome", OTHER_ENDS)
async def test_programs_are_told_of_other_ends_too(
    outcome: str, scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    said, argv, code, reason = OTHER_ENDS[outcome]
    await scene.has_a_deployment("v1")
    await scene.operator_says(False, **said)

    ended, _ = await _waited(commands, "--output=json", "--timeout=60s", *argv)

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["outcome"], last["exitCode"], last["reason"], ended) == (outcome, code, reason, code)


async def test_what_is_not_there_ends_it_with_five(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, told = await _waited(commands, "--output=json")

    last = json.loads(capsys.readouterr().out)
    assert ended == Exit.USAGE_OR_PERMISSION
    assert 'no LLMDeployment "chat" in namespace "models"' in told
    assert (last["outcome"], last["exitCode"], last["message"]) == ("Error", 5, told)


async def test_a_refusal_ends_it_with_five(scene: Scene, commands: Commands) -> None:
    scene.wire.refuse = lambda method, path: Response(403, b"you may not")

    assert await _waited(commands) == (Exit.USAGE_OR_PERMISSION, "not allowed: you may not")


async def test_an_api_server_that_was_never_reached_ends_it_with_five(
    scene: Scene, commands: Commands
) -> None:
    scene.away(1000)

    ended, told = await _waited(commands)

    assert ended == Exit.USAGE_OR_PERMISSION
    assert "the API server does not answer" in told


async def test_an_api_server_that_is_silent_from_the_beginning_ends_it_with_five(
    monkeypatch: pytest.MonkeyPatch, commands: Commands
) -> None:
    @asynccontextmanager
    async def connected(args: object) -> Any:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr("sluicegate.cli.cluster.connected", connected)

    ended, told = await _waited(commands, "--timeout=20s")

    assert ended == Exit.USAGE_OR_PERMISSION
    assert "did not answer within 20 s" in told
    assert now() == pytest.approx(20, abs=1)


def test_a_server_that_nobody_is_at_ends_it_with_five(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way from the command line, without a double."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )
    )

    code = cli.main(["rollout", "wait", NAME, "--kubeconfig", str(kubeconfig)])

    assert code == Exit.USAGE_OR_PERMISSION
    assert "the API server does not answer" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_ends_it_with_five(tmp_path: Path) -> None:
    argv = ["rollout", "wait", NAME, "--kubeconfig", str(tmp_path / "nothing")]

    assert cli.main(argv) == Exit.USAGE_OR_PERMISSION


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200), ("1h1m1s", 3661)]
)
def test_times_are_written_as_kubectl_writes_them(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "0h0m0s", "90", "-5m", "1.5h", "30 m", "30M", "m", "5m1h", "9999999h", "٣s"]
)
def test_what_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArgumentTypeError):
        duration(text)
    with pytest.raises(SystemExit) as ended:
        cli.main(["rollout", "wait", NAME, f"--timeout={text}"])

    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert "write 90s, 30m or 1h30m" in capsys.readouterr().err


def _speak_to(rig: Rig, commands: Commands) -> Commands:
    commands.speak_to(Scene(rig.site.server).wire)
    return commands


def _chat(version: str) -> Any:
    return ADeployment(NAME, NAMESPACE).of(version).build()


async def test_it_ends_as_soon_as_a_real_operator_has_promoted_the_version(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_cluster(a_model_version("v1"), a_model_version("v2"), _chat("v1")) as rig:
        # given
        await rig.until_ready()
        await rig.settle()
        # when a pipeline changes the version and waits at once
        await rig.patch(LLM_DEPLOYMENT, NAME, {"spec": {"modelVersion": "v2"}})
        ended = await _waited(_speak_to(rig, commands), "--version=v2")
        # then
        assert ended == (Exit.OK, "")
        assert await rig.is_ready()
        assert (await rig.status())["serving"]["version"] == "v2"
    steps = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert steps == ["Unseen", "Provisioning", "Verifying", "Cutover", "Draining", "Promoted"]


async def test_a_version_that_is_made_after_its_deployment_is_waited_for(commands: Commands) -> None:
    async with a_cluster(_chat("v1")) as rig:
        ended = await _waited(
            _speak_to(rig, commands), meanwhile=((20, partial(rig.create, a_model_version("v1"))),)
        )

        assert ended == (Exit.OK, "")


async def test_a_version_that_nobody_makes_is_a_failure(commands: Commands) -> None:
    async with a_cluster(_chat("v1")) as rig:
        code, told = await _waited(_speak_to(rig, commands))

    assert code == Exit.FAILED
    assert "the rollout of v1 failed: ModelVersionNotFound: ModelVersion v1 does not exist" in told


async def test_a_deployment_at_zero_is_promoted_without_an_answer(commands: Commands) -> None:
    idle = ADeployment(NAME, NAMESPACE).of("v1").with_replicas(0).build()
    async with a_cluster(a_model_version("v1"), idle) as rig:
        assert await _waited(_speak_to(rig, commands)) == (Exit.OK, "")


async def test_status_shows_where_the_rollout_stands(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    await scene.has_a_deployment("v2")
    await scene.operator_says(
        False, "ImagePullFailed", message="no such image", stalled=True, serving="v1", step="Provisioning"
    )
    # when
    ended = await commands.run("status", NAME)
    # then
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert ended == (Exit.OK, "")
    assert told[:3] == ["Name models/chat", "Version v2", "Serving v1"]
    assert told[3].startswith("Step Stalled, for ")
    assert told[4:] == [
        "Reason ImagePullFailed",
        "Message no such image",
        "Unblocked by An image that exists, and a pull Secret in spec.pod.imagePullSecrets.",
    ]


async def test_status_for_programs_has_the_outcome_so_far(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await scene.has_a_deployment("v1")
    await scene.operator_promotes("v1")

    ended = await commands.run("status", NAME, "--output=json")

    assert ended == (Exit.OK, "")
    assert json.loads(capsys.readouterr().out) == {
        "name": "chat",
        "namespace": "models",
        "version": "v1",
        "serving": "v1",
        "outcome": "Promoted",
        "step": "Promoted",
        "reason": "Serving",
        "message": "v1 answers",
        "since": "2026-01-01T00:00:00Z",
        "unblockedBy": "",
    }


async def test_status_of_a_deployment_that_is_not_there_ends_with_five(commands: Commands) -> None:
    assert (await commands.run("status", NAME))[0] == Exit.USAGE_OR_PERMISSION
