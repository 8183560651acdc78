"""A real API server without kubelet or controllers, set up so that only an operator and its rival work on it.

The operator and the bare client log in by tokens of service accounts, as from pods, so that the audit log
tells their requests apart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e2e.cluster import ApiServer, api_server
from e2e.lab import audit
from e2e.lab.objects import a_deployment, a_model_version

from sluicegate.api.crdgen import crds
from sluicegate.core.naming import FINALIZER
from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.settings import DEFAULT_NAMESPACE

MANAGER = "bench"
OPERATOR, BARE = "operator", "bare-client"
OWNED, COPIES = "bench-owned", "bench-copies"
VERSION = "small-1"
DIGEST = "sha256:" + "ab" * 32
# Nothing ever gets ready here: the deadline of progress would be a change of its own.
ROLLOUT = {"drainSeconds": 60, "progressDeadlineSeconds": 86_400}

Object = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """`client` is an admin's; `folder` is for logs and goes with the stage."""

    folder: Path
    client: Client
    _server: ApiServer

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    def requests(self, user: str, since: datetime) -> list[audit.Request]:
        """What a user asked for, but for its Lease, since a moment."""
        name = f"system:serviceaccount:{DEFAULT_NAMESPACE}:{user}"
        asked = audit.requests(self._server.audit_log, name)
        return [request for request in asked if request.at >= since and request.resource != "leases"]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Namespaces, definitions, users, and one verified ModelVersion that no operator has to inspect."""
    with TemporaryDirectory() as path, api_server(Path(path)) as server:
        async with await Client.from_environment(str(server.kubeconfig)) as client:
            ready = Stage(Path(path), client, server)
            for name in (DEFAULT_NAMESPACE, OWNED, COPIES):
                await client.create(_object("v1", "Namespace", name), MANAGER)
            await _define(client)
            for user in (OPERATOR, BARE):
                token = await _account(client, user)
                _write_kubeconfig(ready.kubeconfig(user), server.kubeconfig, token)
            await _verified_version(client)
            yield ready


def deployment(name: str) -> Object:
    placed: Object = a_deployment(name, VERSION, rollout=ROLLOUT)
    placed["metadata"]["namespace"] = OWNED
    return placed


async def _define(client: Client) -> None:
    for crd in crds():
        await client.apply(crd, MANAGER, force=True)
    # The server takes up a definition a moment after it is stored.
    async with asyncio.timeout(30):
        for kind in (resources.LLM_DEPLOYMENT, resources.MODEL_VERSION):
            await _until_served(client, kind)


async def _until_served(client: Client, kind: resources.Resource) -> None:
    while True:
        try:
            await client.list(kind)
        except NotFound:
            await asyncio.sleep(0.05)
        else:
            return


async def _account(client: Client, user: str) -> str:
    """Make a service account that may do everything; gives a token of it."""
    await client.create(_object("v1", "ServiceAccount", user, DEFAULT_NAMESPACE), MANAGER)
    binding = _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", user)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": user, "namespace": DEFAULT_NAMESPACE}
    await client.create({**binding, "roleRef": role, "subjects": [subject]}, MANAGER)
    path = resources.SERVICE_ACCOUNT.path(DEFAULT_NAMESPACE, user, "token")
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await client.transport.request("POST", path, {}, wanted, "application/json")
    return str(json.loads(answer.body)["status"]["token"])


def _write_kubeconfig(path: Path, admin: Path, token: str) -> None:
    configuration = json.loads(admin.read_text())
    configuration["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(configuration))


async def _verified_version(client: Client) -> None:
    version = a_model_version(VERSION, "small")
    version["metadata"] |= {"namespace": OWNED, "finalizers": [FINALIZER]}
    stored = await client.create(version, MANAGER)
    verified = {
        "type": "Ready",
        "status": "True",
        "reason": "Verified",
        "message": "every file was read, hashed and checked",
        "observedGeneration": stored["metadata"]["generation"],
        "lastTransitionTime": stored["metadata"]["creationTimestamp"],
    }
    status = {"digest": DIGEST, "sizeBytes": 1 << 20, "observedGeneration": 1, "conditions": [verified]}
    patch = {"status": status}
    await client.patch_merge(resources.MODEL_VERSION, OWNED, VERSION, patch, MANAGER, subresource="status")


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
