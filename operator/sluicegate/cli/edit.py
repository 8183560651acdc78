"""One change of a custom resource, made of the very state that was looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sluicegate.cli.cluster import Cluster, found
from sluicegate.cli.view import Object
from sluicegate.core.objects import annotation, resource_version
from sluicegate.kube.errors import Conflict
from sluicegate.kube.resources import LLM_DEPLOYMENT, Resource

FIELD_MANAGER = "kubectl-sluice"
TRIES = 5

Patch = Mapping[str, Any]


async def edited(
    cluster: Cluster,
    name: str,
    change: Callable[[Object], Awaitable[Patch | None]],
    kind: Resource = LLM_DEPLOYMENT,
) -> Object:
    """Patch the object as `change` says, which is asked again where somebody else was faster.

    Answers the state that was patched, or that needs no patch. Raises Conflict where that has no end.
    """
    for left in reversed(range(TRIES)):
        seen = await found(cluster, kind, name)
        patch = await change(seen)
        if patch is None:
            break
        version = {"resourceVersion": resource_version(seen)}
        guarded = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
        try:
            await cluster.client.patch_merge(kind, cluster.namespace, name, guarded, FIELD_MANAGER)
            break
        except Conflict:
            if not left:
                raise
    return seen


async def said(cluster: Cluster, name: str, key: str, about: Callable[[Object], str | None]) -> Object:
    """Annotate the deployment with the identity of the rollout that `about` finds in it, if it finds one.

    So the word is of that rollout and of no later one, and may be repeated. Answers as `edited` does.
    """

    async def change(deployment: Object) -> Patch | None:
        rollout = about(deployment)
        if rollout is None or annotation(deployment, key) == rollout:
            return None
        return {"metadata": {"annotations": {key: rollout}}}

    return await edited(cluster, name, change)
