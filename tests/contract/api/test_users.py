"""What people may do whom the cluster's own view and edit roles are given, on a real API server."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.cases import a_deployment, a_model_version

from sluicegate.cli import explain, status
from sluicegate.cli.command import Exit
from sluicegate.kube.client import Client
from sluicegate.kube.errors import Forbidden
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, Resource

MANAGER = "test"
RBAC = "rbac.authorization.k8s.io"
USER_ROLES = Path(__file__).parents[3] / "manifests" / "kustomize" / "base" / "user-roles.yaml"

# No controller fills `view` and `edit` here; these are what it would put together.
VIEW = ("system:aggregate-to-view", "sluicegate-view")
EDIT = (*VIEW, "system:aggregate-to-edit", "sluicegate-edit")

As = Callable[..., Awaitable[str]]


@pytest.fixture
async def user_with(client: Client, namespace: str, kubeconfig: str, tmp_path: Path) -> As:
    """Makes a user to whom the roles are given in the namespace; answers the user's kubeconfig."""
    for role in yaml.safe_load_all(USER_ROLES.read_text()):
        await client.apply(role, MANAGER, force=True)

    async def user_with(*roles: str) -> str:
        user = {"apiVersion": "v1", "kind": "ServiceAccount"}
        await client.create({**user, "metadata": {"name": "user", "namespace": namespace}}, MANAGER)
        for role in roles:
            await client.create(_binding(role, namespace), MANAGER)
        path = str(tmp_path / "kubeconfig")
        _write_kubeconfig(path, kubeconfig, await _token(client, namespace))
        await _until_it_may_list(path, namespace)
        return path

    return user_with


def _binding(role: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "user", "namespace": namespace}],
    }


async def _token(client: Client, namespace: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/user/token"
    answer = await client.transport.request("POST", path, {}, {"spec": {}}, "application/json")
    return str(json.loads(answer.body)["status"]["token"])


def _write_kubeconfig(path: str, like: str, token: str) -> None:
    config = yaml.safe_load(Path(like).read_text())
    config["users"][0]["user"] = {"token": token}
    Path(path).write_text(json.dumps(config))


async def _until_it_may_list(kubeconfig: str, namespace: str) -> None:
    """The server takes up roles and bindings a moment after they are stored."""
    async with await Client.from_environment(kubeconfig) as user, asyncio.timeout(30):
        while True:
            try:
                await user.list(LLM_DEPLOYMENT, namespace)
            except Forbidden:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.fixture
async def viewer(user_with: As) -> AsyncIterator[Client]:
    async with await Client.from_environment(await user_with(*VIEW)) as user:
        yield user


@pytest.fixture
async def editor(user_with: As) -> AsyncIterator[Client]:
    # The last of the bindings is the one that lists.
    async with await Client.from_environment(await user_with(*reversed(EDIT))) as user:
        yield user


def _objects(namespace: str) -> list[tuple[Resource, dict[str, Any]]]:
    objects = ((MODEL_VERSION, a_model_version()), (LLM_DEPLOYMENT, a_deployment()))
    return [(kind, {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}) for kind, obj in objects]


async def test_who_may_view_reads_both_kinds_and_writes_neither(
    client: Client, viewer: Client, namespace: str
) -> None:
    for kind, obj in _objects(namespace):
        name = obj["metadata"]["name"]
        await client.create(obj, MANAGER)

        assert (await viewer.get(kind, namespace, name))["spec"]
        assert len((await viewer.list(kind, namespace)).items) == 1
        with pytest.raises(Forbidden):
            await viewer.create({**obj, "metadata": {"name": "another", "namespace": namespace}}, MANAGER)
        with pytest.raises(Forbidden):
            await viewer.patch_merge(kind, namespace, name, {"metadata": {"labels": {"a": "b"}}}, MANAGER)
        with pytest.raises(Forbidden):
            await viewer.delete(kind, namespace, name)


async def test_who_may_view_reads_the_scale_and_does_not_write_it(
    client: Client, viewer: Client, namespace: str
) -> None:
    await client.create(_objects(namespace)[1][1], MANAGER)
    more = {"spec": {"replicas": 2}}

    assert (await viewer.get(LLM_DEPLOYMENT, namespace, "chat", "scale"))["spec"] == {"replicas": 1}
    with pytest.raises(Forbidden):
        await viewer.patch_merge(LLM_DEPLOYMENT, namespace, "chat", more, MANAGER, subresource="scale")


async def test_who_may_edit_writes_both_kinds_and_never_their_status(editor: Client, namespace: str) -> None:
    for kind, obj in _objects(namespace):
        name = obj["metadata"]["name"]
        labelled, told = {"metadata": {"labels": {"a": "b"}}}, {"status": {"observedGeneration": 7}}

        await editor.create(obj, MANAGER)
        await editor.patch_merge(kind, namespace, name, labelled, MANAGER)
        with pytest.raises(Forbidden):
            await editor.patch_merge(kind, namespace, name, told, MANAGER, subresource="status")
        if kind is LLM_DEPLOYMENT:
            more = {"spec": {"replicas": 2}}
            await editor.patch_merge(kind, namespace, name, more, MANAGER, subresource="scale")
        await editor.delete(kind, namespace, name)


def _arguments(namespace: str, kubeconfig: str) -> Namespace:
    return Namespace(name="chat", namespace=namespace, kubeconfig=kubeconfig, context=None, output="text")


async def _run(command: Any, arguments: Namespace) -> int:
    return int(await command.COMMAND.run(arguments))


async def test_who_may_view_gets_status_and_explain_with_events(
    client: Client, namespace: str, user_with: As, capsys: pytest.CaptureFixture[str]
) -> None:
    for _, obj in _objects(namespace):
        await client.create(obj, MANAGER)
    arguments = _arguments(namespace, await user_with(*VIEW))

    assert [await _run(command, arguments) for command in (status, explain)] == [Exit.OK, Exit.OK]

    assert "not shown" not in capsys.readouterr().out


async def test_who_may_not_list_events_gets_status_and_explain_without_them(
    client: Client, namespace: str, user_with: As, capsys: pytest.CaptureFixture[str]
) -> None:
    for _, obj in _objects(namespace):
        await client.create(obj, MANAGER)
    rule = {"apiGroups": ["sluicegate.dev"], "resources": ["*"], "verbs": ["get", "list"]}
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "without-events"}}
    await client.apply({**role, "rules": [rule]}, MANAGER, force=True)
    arguments = _arguments(namespace, await user_with("system:aggregate-to-view", "without-events"))

    assert [await _run(command, arguments) for command in (status, explain)] == [Exit.OK, Exit.OK]

    assert "not shown: your role may not list events.k8s.io/events here" in capsys.readouterr().out
