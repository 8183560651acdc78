"""The commands that report read a real API server."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from tests.api.cases import a_deployment, a_model_version

from sluicegate.cli import explain, status
from sluicegate.cli.command import CommandError, Exit
from sluicegate.cli.main import parser
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.kube.resources import DEPLOYMENT, LLM_DEPLOYMENT, MODEL_VERSION

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


@pytest.fixture
async def operator(client: Client, namespace: str) -> AsyncIterator[None]:
    """The Deployment of an operator that serves the namespace; nothing runs here."""
    labels = {"app.kubernetes.io/part-of": "sluicegate", "app.kubernetes.io/component": "operator"}
    variable = {"name": "SLUICEGATE_NAMESPACES", "value": namespace}
    container = {"name": "operator", "image": "sluicegate", "env": [variable]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sluicegate-operator", "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    await client.create(deployment, MANAGER)
    yield
    with suppress(NotFound):
        await client.delete(DEPLOYMENT, namespace, "sluicegate-operator")


async def _uninstall(kubeconfig: str, namespace: str, *flags: str) -> int:
    args = parser().parse_args(
        ["uninstall", "--kubeconfig", kubeconfig, "--operator-namespace", namespace, *flags]
    )
    return int(await args.command.run(args))


async def test_uninstall_says_what_it_would_remove_and_removes_nothing(
    client: Client, namespace: str, operator: object, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await _given(client, namespace)

    with pytest.raises(CommandError, match="add --yes") as ended:
        await _uninstall(kubeconfig, namespace)

    told = capsys.readouterr().out
    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert "https://127.0.0.1:" in told
    assert f"{namespace}/chat" in told
    assert f"{namespace}/sluicegate-operator" in told
    assert "deletionTimestamp" not in (await client.get(LLM_DEPLOYMENT, namespace, "chat"))["metadata"]
    assert (
        "deletionTimestamp"
        not in (await client.get(DEPLOYMENT, namespace, "sluicegate-operator"))["metadata"]
    )


async def test_uninstall_ends_at_its_deadline_and_names_what_is_left(
    client: Client, namespace: str, operator: object, kubeconfig: str
) -> None:
    """Nothing is removed beyond the deployment, because a finalizer of somebody else holds it."""
    await _given(client, namespace)
    held = {"metadata": {"finalizers": ["example.org/held"]}}
    await client.patch_merge(LLM_DEPLOYMENT, namespace, "chat", held, MANAGER)

    with pytest.raises(CommandError, match=r"left: 1 llmdeployments: .*chat") as ended:
        await _uninstall(kubeconfig, namespace, "--yes", "--deadline=2")

    assert ended.value.code == Exit.TIMEOUT
    free: dict[str, Any] = {"metadata": {"finalizers": None}}
    await client.patch_merge(LLM_DEPLOYMENT, namespace, "chat", free, MANAGER)


async def test_uninstall_of_an_operator_that_is_not_there_is_refused_at_once(
    namespace: str, operator: object, kubeconfig: str
) -> None:
    with pytest.raises(CommandError, match=f"pass --operator-namespace .*{namespace}") as ended:
        await asyncio.wait_for(_uninstall(kubeconfig, "nowhere", "--yes"), 10)

    assert ended.value.code == Exit.USAGE_OR_PERMISSION


async def test_an_object_that_is_not_there_is_named_with_where_it_was_looked_for(
    namespace: str, arguments: Namespace
) -> None:
    with pytest.raises(CommandError, match=f'no LLMDeployment "chat" in namespace "{namespace}"') as ended:
        await asyncio.wait_for(_run(status, arguments), 10)

    assert ended.value.code == Exit.FAILED
