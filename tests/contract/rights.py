"""What a server answers to somebody who may do a few things only, with all its words."""

from __future__ import annotations

import json
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
from sluicegate.kube.transport import Transport

NAME = "what_is_not_granted_is_forbidden"
RBAC = "rbac.authorization.k8s.io"
JSON = "application/json"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
LABELS: Object = {"metadata": {"labels": {"a": "b"}}}


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


class Asking:
    """Keeps how each request of a user is answered: the code, and the whole Status of a refusal."""

    def __init__(self, user: Transport, namespace: str) -> None:
        self.answers: list[Any] = []
        self._user = user
        self._namespace = namespace

    async def ask(
        self, name: str, method: str, path: str, body: Object | None = None, how: str = JSON, **query: str
    ) -> None:
        answer = await self._user.request(method, path, {"fieldManager": "user", **query}, body, how)
        self._note(name, answer.status, answer.body)

    async def watch(self, name: str, path: str) -> None:
        async with self._user.stream(path, {"watch": "true", "timeoutSeconds": "1"}) as stream:
            self._note(name, stream.status, b"".join([chunk async for chunk in stream.chunks]))

    def _note(self, name: str, code: int, body: bytes) -> None:
        told = body.decode().replace(self._namespace, "<namespace>")
        self.answers.append([name, json.loads(told) if code >= 400 else code])


async def steps(user: Transport, namespace: str) -> list[Any]:
    """What the user is answered to all that is tried."""
    asking = Asking(user, namespace)
    await _by_name(asking, namespace)
    await _by_verb(asking, namespace)
    await _by_scope(asking, namespace)
    return asking.answers


async def _by_name(a: Asking, namespace: str) -> None:
    maps = r.CONFIG_MAP.path(namespace)
    one, other = r.CONFIG_MAP.path(namespace, "named"), r.CONFIG_MAP.path(namespace, "other")
    await a.ask("get named", "GET", one)
    await a.ask("get other", "GET", other)
    await a.ask("list", "GET", maps)
    await a.ask("list named", "GET", maps, fieldSelector="metadata.name=named")
    await a.ask("list everywhere", "GET", r.CONFIG_MAP.path())
    await a.watch("watch", maps)
    await a.ask("patch named", "PATCH", one, LABELS, MERGE)
    await a.ask("patch named as it was", "PATCH", one, {"metadata": {"resourceVersion": "1"}}, MERGE)
    await a.ask("patch other", "PATCH", other, LABELS, MERGE)
    applied = having(config_map("named"), namespace=namespace)
    await a.ask("update named", "PUT", one, applied)
    await a.ask("delete other", "DELETE", other, {})
    await a.ask("create", "POST", maps, having(config_map("new"), namespace=namespace))
    await a.ask("delete named", "DELETE", one, {})
    await a.ask("delete what is gone", "DELETE", one, {})
    await a.ask("apply may not create", "PATCH", one, applied, APPLY, force="true")


async def _by_verb(a: Asking, namespace: str) -> None:
    services, one = r.SERVICE.path(namespace), r.SERVICE.path(namespace, "chat")
    created = having(service(), namespace=namespace)
    await a.ask("apply creates", "PATCH", one, created, APPLY)
    await a.ask("create once more", "POST", services, created)
    await a.ask("create what is invalid", "POST", services, {**created, "spec": {"selector": {"a": "b"}}})
    await a.ask("patch a Service", "PATCH", one, LABELS, MERGE)
    await a.ask("get a Service", "GET", one)
    running = {"status": {"phase": "Running"}}
    await a.ask("status", "PATCH", r.POD.path(namespace, "p", "status"), running, MERGE)
    await a.ask("all but status", "PATCH", r.POD.path(namespace, "p"), LABELS, MERGE)
    lease = having(of("coordination.k8s.io/v1", "Lease", "x"), namespace=namespace)
    await a.ask("a Lease", "PUT", r.LEASE.path(namespace, "x"), lease)
    await a.ask("a Deployment", "GET", r.LLM_DEPLOYMENT.path(namespace, "chat", "status"))


async def _by_scope(a: Asking, namespace: str) -> None:
    await a.ask("list in the namespace", "GET", r.REPLICA_SET.path(namespace))
    await a.ask("list beyond it", "GET", r.REPLICA_SET.path())
    await a.ask("nodes", "GET", r.NODE.path())
    await a.ask("a node", "GET", r.NODE.path("", "n1"))
    await a.ask("the namespace", "GET", r.NAMESPACE.path("", namespace))


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
