"""`sluicegate uninstall`: removes everything in the order in which nothing is left behind.

Deployments and their pods first, then ModelVersions, while the operator still lets go of what it protects;
then the operator, and last the definitions. An operator that is dead does not stop it: after a while without
progress the operator's finalizer is removed in its place.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sluicegate.cli.cluster import connected
from sluicegate.cli.command import Command, CommandError, Exit, add_cluster_flags
from sluicegate.core import naming
from sluicegate.core.objects import name, resource_version, terminating, uid
from sluicegate.kube.client import Listing
from sluicegate.kube.errors import Conflict, NotFound
from sluicegate.kube.resources import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    LEASE,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    Resource,
)
from sluicegate.shell.view import OWNED

PART_OF = f"{naming.PART_OF}={naming.MANAGER}"
CHILDREN = f"{naming.MANAGED_BY}={naming.MANAGER}"

# What the installation and the operator itself put beside the operator.
OPERATOR_KINDS = (NETWORK_POLICY, ROLE_BINDING, ROLE, SERVICE_ACCOUNT, CONFIG_MAP, SECRET, LEASE)
CLUSTER_KINDS = (CLUSTER_ROLE_BINDING, CLUSTER_ROLE)

Object = Mapping[str, Any]
Say = Callable[[str], None]


class Api(Protocol):
    """What is needed of a client."""

    async def list(self, resource: Resource, namespace: str = "", *, label_selector: str = "") -> Listing: ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None
    ) -> dict[str, Any]: ...

    async def patch_merge(
        self, resource: Resource, namespace: str, name: str, patch: Object, field_manager: str
    ) -> dict[str, Any]: ...


class Uninstall:
    """Removes step by step; `say` is told of progress.

    `patience` is how many seconds nothing may move before the operator is taken for dead.
    """

    def __init__(
        self, api: Api, operator_namespace: str, say: Say, *, patience: float = 30.0, poll: float = 1.0
    ) -> None:
        self._api = api
        self._operator_namespace = operator_namespace
        self._say = say
        self._patience = patience
        self._poll = poll
        self.left = "nothing"

    async def run(self) -> None:
        """Returns when everything is gone; the caller bounds the time and may then read `left`."""
        await self._remove_all(LLM_DEPLOYMENT)
        # Only theirs: an inspection's Job goes with its ModelVersion.
        await self._children_gone(f"{CHILDREN},{naming.DEPLOYMENT}")
        await self._remove_all(MODEL_VERSION)
        await self._children_gone(CHILDREN)
        await self._remove_all(DEPLOYMENT, self._operator_namespace, PART_OF)
        await self._gone(POD, selector=PART_OF)
        for kind in OPERATOR_KINDS:
            await self._remove_all(kind, self._operator_namespace, PART_OF)
        for kind in (*CLUSTER_KINDS, CUSTOM_RESOURCE_DEFINITION, NAMESPACE):
            await self._remove_all(kind, selector=PART_OF)

    async def _remove_all(self, kind: Resource, namespace: str = "", selector: str = "") -> None:
        """Delete until none is left: somebody may create more meanwhile."""
        clock = asyncio.get_running_loop().time
        moved, before = clock(), -1
        while found := await self._list(kind, namespace, selector):
            for obj in found:
                if not terminating(obj):
                    await self._delete(kind, obj)
            if len(found) != before:
                moved, before = clock(), len(found)
                self._tell(kind, found)
            elif clock() - moved >= self._patience:
                moved = clock()
                await self._release(kind, found)
            await asyncio.sleep(self._poll)

    async def _children_gone(self, selector: str) -> None:
        """The cluster's garbage collector removes what belonged to a removed owner."""
        for kind in OWNED:
            await self._gone(kind, selector)

    async def _gone(self, kind: Resource, selector: str) -> None:
        before = -1
        while found := await self._list(kind, "", selector):
            if len(found) != before:
                before = len(found)
                self._tell(kind, found)
            await asyncio.sleep(self._poll)

    def _tell(self, kind: Resource, found: list[dict[str, Any]]) -> None:
        some = ", ".join(_where(obj) for obj in found[:3]) + (", ..." if len(found) > 3 else "")
        self.left = f"{len(found)} {kind.plural}: {some}"
        self._say(f"removing {self.left}")

    async def _list(self, kind: Resource, namespace: str, selector: str) -> list[dict[str, Any]]:
        try:
            return (await self._api.list(kind, namespace, label_selector=selector)).items
        except NotFound:
            # The kind itself is gone already, with every object of it.
            return []

    async def _delete(self, kind: Resource, obj: Object) -> None:
        try:
            await self._api.delete(kind, _namespace(obj), name(obj), uid=uid(obj))
        except (NotFound, Conflict):
            return

    async def _release(self, kind: Resource, found: list[dict[str, Any]]) -> None:
        """Take over from an operator that does not answer; finalizers of others are theirs."""
        for obj in found:
            finalizers = obj["metadata"].get("finalizers") or []
            if naming.FINALIZER not in finalizers:
                continue
            self._say(f"the operator does not let go of {kind.kind} {_where(obj)}: removing its finalizer")
            kept = [each for each in finalizers if each != naming.FINALIZER]
            guard = {"uid": uid(obj), "resourceVersion": resource_version(obj)}
            patch = {"metadata": {"finalizers": kept, **guard}}
            try:
                await self._api.patch_merge(kind, _namespace(obj), name(obj), patch, naming.MANAGER)
            except (NotFound, Conflict):
                continue


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _where(obj: Object) -> str:
    return "/".join(filter(None, (_namespace(obj), name(obj))))


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it; without this, say what would be removed")
    parser.add_argument(
        "--operator-namespace",
        default="sluicegate-system",
        metavar="NAMESPACE",
        help="where the operator runs",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="give up after this time (default 600)",
    )
    add_cluster_flags(parser)


async def _run(args: Namespace) -> int:
    async with connected(args) as cluster:
        if not args.yes:
            print(await _preview(cluster.client))
            raise CommandError("nothing was removed: add --yes to remove it", Exit.USAGE_OR_PERMISSION)
        started = asyncio.get_running_loop().time()

        def say(text: str) -> None:
            print(f"{asyncio.get_running_loop().time() - started:5.0f} s  {text}", flush=True)

        work = Uninstall(cluster.client, args.operator_namespace, say)
        try:
            async with asyncio.timeout(args.deadline):
                await work.run()
        except TimeoutError as late:
            raise CommandError(
                f"not everything is gone after {args.deadline:.0f} s; left: {work.left}. Look at their "
                "finalizers and events, then run the command again: it goes on where it stopped",
                Exit.TIMEOUT,
            ) from late
        say("nothing is left")
    return Exit.OK


async def _preview(api: Api) -> str:
    counts = [f"{len(await _all(api, kind))} {kind.plural}" for kind in (LLM_DEPLOYMENT, MODEL_VERSION)]
    return f"This removes {' and '.join(counts)} of all namespaces, the operator and its definitions."


async def _all(api: Api, kind: Resource) -> list[dict[str, Any]]:
    try:
        return (await api.list(kind)).items
    except NotFound:
        return []


COMMAND = Command("uninstall", "remove models, operator and definitions, in order", _add_arguments, _run)
