"""The cluster that a command speaks to, and how its refusals read to a person."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sluicegate.cli.command import CommandError, Exit
from sluicegate.kube.client import Client
from sluicegate.kube.config import transport_from
from sluicegate.kube.context import current_namespace
from sluicegate.kube.errors import ApiError, ConfigurationError, Forbidden, NotFound, Unavailable
from sluicegate.kube.resources import Resource


@dataclass(frozen=True)
class Cluster:
    """A client, the namespace that a command without `-n` means, and the API server's address."""

    client: Client
    namespace: str
    server: str


@asynccontextmanager
async def connected(args: Namespace) -> AsyncIterator[Cluster]:
    """The cluster that the flags name. API errors inside end the command with a message."""
    named = getattr(args, "namespace", None)
    try:
        namespace = named or current_namespace(os.environ, args.kubeconfig, args.context)
        transport = await transport_from(os.environ, args.kubeconfig, args.context)
        async with Client(transport) as client:
            yield Cluster(client, namespace, transport.server)
    except (ConfigurationError, ApiError) as error:
        raise explained(error) from error


@asynccontextmanager
async def reachable(args: Namespace) -> AsyncIterator[Cluster]:
    """The cluster. What keeps the command from looking ends it with 5: 1 says that the version failed."""
    try:
        async with connected(args) as cluster:
            yield cluster
    except CommandError as error:
        raise CommandError(str(error), Exit.USAGE_OR_PERMISSION) from error


def explained(error: ApiError | ConfigurationError) -> CommandError:
    """The error as the user should read it, with what to do about it."""
    if isinstance(error, ConfigurationError):
        return CommandError(str(error), Exit.USAGE_OR_PERMISSION)
    if isinstance(error, Forbidden):
        return CommandError(f"not allowed: {error.message}", Exit.USAGE_OR_PERMISSION)
    if isinstance(error, Unavailable):
        return CommandError(
            f"the API server does not answer: {error.message}; check the cluster and --context"
        )
    return CommandError(error.message)


async def found(cluster: Cluster, resource: Resource, name: str) -> dict[str, Any]:
    """One object, or an error that says where it was looked for."""
    try:
        return await cluster.client.get(resource, cluster.namespace, name)
    except NotFound as error:
        if await _is_served(cluster, resource):
            raise CommandError(
                f'there is no {resource.kind} "{name}" in namespace "{cluster.namespace}": '
                f"list them with kubectl get {resource.plural} -A"
            ) from error
        raise CommandError(
            f"the cluster does not know the kind {resource.kind}: "
            "install Sluicegate with kubectl apply -k manifests/kustomize/base"
        ) from error


async def _is_served(cluster: Cluster, resource: Resource) -> bool:
    try:
        await cluster.client.list(resource, cluster.namespace)
    except NotFound:
        return False
    return True
