"""`rollout history`, `retry` and `abort`: what they say, write and refuse, by exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.rollouts import NAME, NEW, Commands, Scene
from tests.shell.rig import NAMESPACE

from sluicegate.cli.command import Exit
from sluicegate.cli.edit import TRIES
from sluicegate.core.naming import ABORT, RETRY
from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.kube.transport import Response

pytestmark = pytest.mark.looptime

FAILED = {
    "id": NEW,
    "version": "v2",
    "outcome": "RolledBack",
    "reason": "EngineCrashLooping",
    "message": "CUDA error",
    "finishedAt": "2026-01-01T12:00:00Z",
}


async def _has_failed(scene: Scene) -> None:
    await scene.has_a_deployment("v2")
    await scene.operator_says(False, "RolledBack", serving="v1", stalled=True, history=[FAILED])


async def _is_at(scene: Scene, step: str) -> None:
    await scene.has_a_deployment("v2")
    await scene.operator_says(False, step, serving="v1", step=step)


async def test_a_retry_names_the_rollout_that_failed_and_may_be_repeated(
    scene: Scene, commands: Commands
) -> None:
    await _has_failed(scene)
    for _ in range(2):
        assert await commands.run("retry", NAME) == (Exit.OK, "")
    assert await scene.annotations() == {RETRY: NEW}


async def test_nothing_that_did_not_fail_is_tried_again(scene: Scene, commands: Commands) -> None:
    await _is_at(scene, "Provisioning")
    code, said = await commands.run("retry", NAME)
    assert code == Exit.FAILED
    assert "no rollout to the present spec has failed" in said
    assert await scene.annotations() == {}


CAN_FAIL = (
    "Provisioning",
    "Verifying",
    "AwaitingPromotion",
    "Paused",
    "Swapping",
    "AwaitingCapacity",
    "Staging",
    "Canary",
    "Fleet",
    "Observing",
)


@pytest.mark.parametrize("step", CAN_FAIL)
async def test_an_abort_names_the_rollout_under_way(step: str, scene: Scene, commands: Commands) -> None:
    await _is_at(scene, step)
    for _ in range(2):
        assert await commands.run("abort", NAME) == (Exit.OK, "")
    assert await scene.annotations() == {ABORT: NEW}


@pytest.mark.parametrize("step", ["Cutover", "Reverting", "Draining", "Discarding"])
async def test_an_abort_is_refused_once_it_takes_over(step: str, scene: Scene, commands: Commands) -> None:
    await _is_at(scene, step)
    code, said = await commands.run("abort", NAME)
    assert code == Exit.FAILED
    assert f"v2 is past ending: {step}" in said
    assert await scene.annotations() == {}


@pytest.mark.parametrize("command", ["history", "retry", "abort"])
async def test_a_deployment_that_is_not_there_is_a_usage_error(
    command: str, scene: Scene, commands: Commands
) -> None:
    code, _ = await commands.run(command, NAME)
    assert code == Exit.USAGE_OR_PERMISSION


async def test_the_history_lists_what_ended(
    scene: Scene, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    await _has_failed(scene)
    assert await commands.run("history", NAME) == (Exit.OK, "")
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["ID", "VERSION", "OUTCOME", "REASON", "ENDED", "MESSAGE"]
    assert row.startswith(f"{NEW}  v2       RolledBack  EngineCrashLooping")
    await commands.run("history", NAME, "--output", "json")
    told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert told == [FAILED]


async def test_a_wait_ends_with_1_where_a_rollout_was_rolled_back_but_not_right_after_a_retry(
    scene: Scene, commands: Commands
) -> None:
    await _has_failed(scene)
    code, said = await commands.run("wait", NAME)
    assert code == Exit.FAILED
    assert "RolledBack" in said
    await commands.run("retry", NAME)
    code, _ = await commands.run("wait", NAME, "--timeout", "40s")
    assert code == Exit.TIMEOUT


WORDS = {"abort": "Provisioning", "retry": None}


async def _is_ready_for(command: str, scene: Scene) -> None:
    step = WORDS[command]
    await (_is_at(scene, step) if step else _has_failed(scene))


@pytest.mark.parametrize("command", WORDS)
async def test_a_word_is_refused_where_the_spec_changed_since_it_was_looked_at(
    command: str, scene: Scene, commands: Commands
) -> None:
    """The command names the state that it saw, so that what came since is judged anew."""
    await _is_ready_for(command, scene)
    edits: list[str] = []

    def refuse(method: str, path: str) -> None:
        if method == "PATCH" and not edits:
            edits.append("v3")
            status = {"status": {"rollout": None, "history": [], "observedGeneration": 1}}
            hand = scene.server.hand("kubectl")
            hand.patch(LLM_DEPLOYMENT, NAMESPACE, NAME, status, subresource="status")

    scene.wire.refuse = refuse

    assert (await commands.run(command, NAME))[0] == Exit.FAILED
    assert await scene.annotations() == {}


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize(
    ("code", "answer", "told"),
    [
        (403, "you may not", "not allowed: you may not"),
        (409, '{"kind": "Status", "reason": "Conflict", "message": "it was changed"}', "it was changed"),
    ],
    ids=["forbidden", "changed by somebody else each time"],
)
async def test_a_word_that_cannot_be_written_ends_it_with_five(
    command: str, code: int, answer: str, told: str, scene: Scene, commands: Commands
) -> None:
    await _is_ready_for(command, scene)
    tried: list[str] = []

    def refuse(method: str, path: str) -> Response | None:
        if method != "PATCH":
            return None
        tried.append(path)
        return Response(code, answer.encode())

    scene.wire.refuse = refuse

    assert await commands.run(command, NAME) == (Exit.USAGE_OR_PERMISSION, told)
    assert len(tried) == (TRIES if code == 409 else 1)
