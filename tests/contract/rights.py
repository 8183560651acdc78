"""What a server answers to somebody who may do a few things only, with all its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import yaml
from tests.contract.objects import Object, config_map, having, of, pod, service
from tests.contract.run import crd
from tests.shell.kit import eventually
from tests.sim.apiserver import ApiServer
from tests.sim.server.rights import Rights

from sluicegate.kube import resources as r
from sluicegate.kube.client import Client
from sluicegate.kube.transport import Query, Transport

NAME = "what_is_not_granted_is_forbidden"
RBAC = "rbac.authorization.k8s.io"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


def roles(namespace: str) -> list[Object]:
    """A Role and a ClusterRole in one namespace and a ClusterRole everywhere, for one ServiceAccount."""
    everywhere = f"{namespace}-nodes"
    named = _rule("", ["configmaps"], ["get", "list", "watch", "patch", "delete"])
    here = [
        {**named, "resourceNames": ["named"]},
        _rule("", ["services"], ["create", "patch"]),
        _rule("", ["pods/status"], ["patch"]),
    ]
    return [
        {**_of(namespace, "Role", "here"), "rules": here},
        _binding(namespace, "RoleBinding", "Role", "here"),
        {**_of("", "ClusterRole", namespace), "rules": [_rule("apps", ["replicasets"], ["list", "watch"])]},
        _binding(namespace, "RoleBinding", "ClusterRole", namespace),
        {**_of("", "ClusterRole", everywhere), "rules": [_rule("", ["nodes"], ["list"])]},
        _binding(namespace, "ClusterRoleBinding", "ClusterRole", everywhere),
    ]


async def steps(user: Transport, namespace: str) -> list[Any]:
    """How each of the user's requests is answered: the code, and the whole Status of a refusal."""
    found: list[Any] = []

    async def ask(
        name: str,
        method: str,
        path: str,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> None:
        answer = await user.request(method, path, query or {}, body, content_type)
        note(name, answer.status, answer.body)

    def note(name: str, code: int, body: bytes) -> None:
        told = body.decode().replace(namespace, "<namespace>")
        found.append([name, json.loads(told) if code >= 400 else code])

    by = {"fieldManager": "user"}
    maps, labels = r.CONFIG_MAP.path(namespace), {"metadata": {"labels": {"a": "b"}}}
    one, other = r.CONFIG_MAP.path(namespace, "named"), r.CONFIG_MAP.path(namespace, "other")
    await ask("get named", "GET", one)
    await ask("get other", "GET", other)
    await ask("list", "GET", maps)
    await ask("list named", "GET", maps, {"fieldSelector": "metadata.name=named"})
    await ask("list everywhere", "GET", r.CONFIG_MAP.path())
    async with user.stream(maps, {"watch": "true", "timeoutSeconds": "1"}) as stream:
        note("watch", stream.status, b"".join([chunk async for chunk in stream.chunks]))
    await ask("patch named", "PATCH", one, by, labels, MERGE)
    await ask("patch other", "PATCH", other, by, labels, MERGE)
    await ask("update named", "PUT", one, by, having(config_map("named"), namespace=namespace))
    await ask("delete other", "DELETE", other, {}, {})
    await ask("create", "POST", maps, by, having(config_map("new"), namespace=namespace))
    created = having(service(), namespace=namespace)
    await ask("apply creates", "PATCH", r.SERVICE.path(namespace, "chat"), by, created, APPLY)
    await ask("patch a Service", "PATCH", r.SERVICE.path(namespace, "chat"), by, labels, MERGE)
    await ask("get a Service", "GET", r.SERVICE.path(namespace, "chat"))
    await ask("named is gone", "DELETE", one, {}, {})
    applied = having(config_map("named"), namespace=namespace)
    await ask("apply may not create", "PATCH", one, {**by, "force": "true"}, applied, APPLY)
    running = {"status": {"phase": "Running"}}
    await ask("status", "PATCH", r.POD.path(namespace, "p", "status"), by, running, MERGE)
    await ask("all but status", "PATCH", r.POD.path(namespace, "p"), by, labels, MERGE)
    await ask("list in the namespace", "GET", r.REPLICA_SET.path(namespace))
    await ask("list beyond it", "GET", r.REPLICA_SET.path())
    await ask("nodes", "GET", r.NODE.path())
    await ask("a node", "GET", r.NODE.path("", "n1"))
    await ask("the namespace", "GET", r.NAMESPACE.path("", namespace))
    lease = having(of("coordination.k8s.io/v1", "Lease", "x"), namespace=namespace)
    await ask("a Lease", "PUT", r.LEASE.path(namespace, "x"), by, lease)
    await ask("a Deployment", "GET", r.LLM_DEPLOYMENT.path(namespace, "chat", "status"))
    return found


async def on_the_fake() -> list[Any]:
    namespace = "some-namespace"
    server = ApiServer([crd()], namespaces=(namespace,), rights=Rights.of(roles(namespace), "unused"))
    await _furnish(Client(server), namespace)
    return await steps(server.as_user(f"system:serviceaccount:{namespace}:user"), namespace)


async def on_a_real_server(admin: Client, kubeconfig: str) -> list[Any]:
    """`kubeconfig` is the admin's."""
    namespace = f"rights-{uuid4().hex[:8]}"
    await admin.create(of("v1", "Namespace", namespace), "contract")
    for account in ("default", "user"):
        await admin.create(having(of("v1", "ServiceAccount", account), namespace=namespace), "contract")
    for each in roles(namespace):
        await admin.create(each, "contract")
    await _furnish(admin, namespace)
    with TemporaryDirectory() as folder:
        path = _kubeconfig(folder, kubeconfig, await _token(admin, namespace))
        async with await Client.from_environment(path) as user:
            await _until_taken_up(user.transport, namespace)
            return await steps(user.transport, namespace)


async def _furnish(admin: Client, namespace: str) -> None:
    for obj in (config_map("named"), config_map("other"), pod()):
        await admin.create(having(obj, namespace=namespace), "contract")


async def _token(admin: Client, namespace: str) -> str:
    path = r.SERVICE_ACCOUNT.path(namespace, "user", "token")
    answer = await admin.transport.request("POST", path, {}, {"spec": {}}, "application/json")
    return str(json.loads(answer.body)["status"]["token"])


def _kubeconfig(folder: str, like: str, token: str) -> str:
    config = yaml.safe_load(Path(like).read_text())
    config["users"][0]["user"] = {"token": token}
    path = Path(folder) / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


async def _until_taken_up(user: Transport, namespace: str) -> None:
    """A server takes up roles and bindings a moment after they are stored."""
    granted = (r.CONFIG_MAP.path(namespace, "named"), r.REPLICA_SET.path(namespace), r.NODE.path())

    async def may_all() -> bool:
        answers = [await user.request("GET", path, {}, None, "application/json") for path in granted]
        return all(answer.status == 200 for answer in answers)

    await eventually(may_all, 30, every=0.05)


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _of(namespace: str, kind: str, name: str) -> Object:
    meta = {"namespace": namespace} if namespace else {}
    return having(of(f"{RBAC}/v1", kind, name), **meta)


def _binding(namespace: str, kind: str, role: str, name: str) -> Object:
    where = namespace if kind == "RoleBinding" else ""
    subject = {"kind": "ServiceAccount", "name": "user", "namespace": namespace}
    return {
        **_of(where, kind, name),
        "roleRef": {"apiGroup": RBAC, "kind": role, "name": name},
        "subjects": [subject],
    }
