"""The commands that report read a real API server."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import Any

import pytest
from tests.api.cases import a_deployment, a_model_version

from sluicegate.cli import explain, status, uninstall
from sluicegate.cli.command import CommandError, Exit
from sluicegate.kube.client import Client
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

MANAGER = "test"
SINCE = "2026-01-01T00:00:00Z"


@pytest.fixture
def arguments(kubeconfig: str, namespace: str) -> Namespace:
    return Namespace(name="chat", namespace=namespace, kubeconfig=kubeconfig, context=None, output="text")


def _condition(status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": SINCE,
    }


async def _given(client: Client, namespace: str) -> None:
    """A deployment that waits for a version whose inspection failed, and an event about its pod."""
    for obj in (a_deployment(), a_model_version()):
        await client.create({**obj, "metadata": {**obj["metadata"], "namespace": namespace}}, MANAGER)
    waiting = _condition("False", "ModelVersionNotReady", "ModelVersion smollm2-1 is not ready")
    failed = _condition("False", "DigestMismatch", "the files have another digest")
    for kind, name, condition in (
        (LLM_DEPLOYMENT, "chat", waiting),
        (MODEL_VERSION, "smollm2-1", failed),
    ):
        body = {"status": {"observedGeneration": 1, "conditions": [condition]}}
        await client.patch_merge(kind, namespace, name, body, MANAGER, subresource="status")
    await client.create(_event(namespace), MANAGER)


def _event(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "smollm2-1-inspect.1", "namespace": namespace},
        "type": "Warning",
        "reason": "BackoffLimitExceeded",
        "action": "Inspect",
        "note": "the Job has failed",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.org/test",
        "reportingInstance": "test",
        "regarding": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "smollm2-1-inspect",
            "namespace": namespace,
        },
    }


async def _run(command: Any, arguments: Namespace) -> int:
    return int(await command.COMMAND.run(arguments))


async def test_explain_follows_the_chain_to_the_cause(
    client: Client, namespace: str, arguments: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    await _given(client, namespace)

    code = await _run(explain, arguments)

    told = " ".join(capsys.readouterr().out.split())
    assert code == Exit.OK
    assert "chat is not ready: ModelVersionNotReady" in told
    assert "DigestMismatch" in told
    assert "BackoffLimitExceeded Job smollm2-1-inspect the Job has failed" in told


async def test_status_is_one_screen(
    client: Client, namespace: str, arguments: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    await _given(client, namespace)

    code = await _run(status, arguments)

    told = capsys.readouterr().out
    assert code == Exit.OK
    assert "ModelVersion smollm2-1 is not ready" in told
    assert len(told.splitlines()) < 24


async def test_uninstall_says_what_it_would_remove_and_removes_nothing(
    client: Client, namespace: str, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await _given(client, namespace)
    unsure = Namespace(yes=False, kubeconfig=kubeconfig, context=None)

    with pytest.raises(CommandError, match="add --yes") as ended:
        await _run(uninstall, unsure)

    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert "llmdeployments and" in capsys.readouterr().out
    assert "deletionTimestamp" not in (await client.get(LLM_DEPLOYMENT, namespace, "chat"))["metadata"]


async def test_uninstall_ends_at_its_deadline_and_names_what_is_left(
    client: Client, namespace: str, kubeconfig: str
) -> None:
    """Nothing is removed beyond the deployment, because a finalizer of somebody else holds it."""
    await _given(client, namespace)
    held = {"metadata": {"finalizers": ["example.org/held"]}}
    await client.patch_merge(LLM_DEPLOYMENT, namespace, "chat", held, MANAGER)
    sure = Namespace(
        yes=True, kubeconfig=kubeconfig, context=None, operator_namespace="sluicegate-system", deadline=2.0
    )

    with pytest.raises(CommandError, match=f"left: 1 llmdeployments: {namespace}/chat") as ended:
        await _run(uninstall, sure)

    assert ended.value.code == Exit.TIMEOUT
    free: dict[str, Any] = {"metadata": {"finalizers": None}}
    await client.patch_merge(LLM_DEPLOYMENT, namespace, "chat", free, MANAGER)


async def test_an_object_that_is_not_there_is_named_with_where_it_was_looked_for(
    namespace: str, arguments: Namespace
) -> None:
    with pytest.raises(CommandError, match=f'no LLMDeployment "chat" in namespace "{namespace}"') as ended:
        await asyncio.wait_for(_run(status, arguments), 10)

    assert ended.value.code == Exit.FAILED
