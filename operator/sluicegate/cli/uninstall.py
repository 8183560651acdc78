"""`sluicegate uninstall`: removes everything in the order in which nothing is left behind.

Deployments and their pods first, then ModelVersions, while the operator still lets go of what it protects;
then the operator, and last the definitions. An operator that is dead does not stop it: after a while without
progress the operator's finalizer is removed in its place. What another operator needs stays.
"""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from sluicegate.cli.cluster import connected
from sluicegate.cli.command import Command, CommandError, Exit, add_cluster_flags, add_output_flag
from sluicegate.cli.installation import PART_OF, Group, Installation, Lists, Object, find, namespace_of
from sluicegate.cli.table import table
from sluicegate.core import naming
from sluicegate.core.objects import name, resource_version, terminating, uid
from sluicegate.kube.errors import Conflict, NotFound
from sluicegate.kube.resources import POD, Resource
from sluicegate.shell.view import OWNED

CHILDREN = f"{naming.MANAGED_BY}={naming.MANAGER}"

Say = Callable[[str], None]
Objects = list[tuple[Resource, Object]]


class Api(Lists, Protocol):
    """What is needed of a client."""

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
        self, api: Api, installation: Installation, say: Say, *, patience: float = 30.0, poll: float = 1.0
    ) -> None:
        self._api = api
        self._installation = installation
        self._say = say
        self._patience = patience
        self._poll = poll
        self.left = "nothing"

    async def run(self) -> None:
        """Returns when everything is gone; the caller bounds the time and may then read `left`."""
        ours = self._installation
        await self._remove_all(ours.deployments)
        # Only theirs: an inspection's Job goes with its ModelVersion.
        await self._children_gone(f"{CHILDREN},{naming.DEPLOYMENT}")
        await self._remove_all(ours.model_versions)
        await self._children_gone(CHILDREN)
        await self._remove_all(ours.operator)
        await self._gone(Group(POD, ours.namespace, PART_OF))
        for group in ours.surroundings():
            await self._remove_all(group)

    async def _remove_all(self, group: Group) -> None:
        """Delete until none is left: somebody may create more meanwhile."""
        clock = asyncio.get_running_loop().time
        moved, before = clock(), -1
        while found := await group.listed(self._api):
            for obj in found:
                if not terminating(obj):
                    await self._delete(group.kind, obj)
            if len(found) != before:
                moved, before = clock(), len(found)
                self._tell(group.kind, found)
            elif clock() - moved >= self._patience:
                moved = clock()
                await self._release(group.kind, found)
            await asyncio.sleep(self._poll)

    async def _children_gone(self, selector: str) -> None:
        """The cluster's garbage collector removes what belonged to a removed owner."""
        for kind in OWNED:
            await self._gone(Group(kind, selector=selector, holds=self._installation.owns))

    async def _gone(self, group: Group) -> None:
        before = -1
        while found := await group.listed(self._api):
            if len(found) != before:
                before = len(found)
                self._tell(group.kind, found)
            await asyncio.sleep(self._poll)

    def _tell(self, kind: Resource, found: list[Object]) -> None:
        some = ", ".join(_where(obj) for obj in found[:3]) + (", ..." if len(found) > 3 else "")
        self.left = f"{len(found)} {kind.plural}: {some}"
        self._say(f"removing {self.left}")

    async def _delete(self, kind: Resource, obj: Object) -> None:
        try:
            await self._api.delete(kind, namespace_of(obj), name(obj), uid=uid(obj))
        except (NotFound, Conflict):
            return

    async def _release(self, kind: Resource, found: list[Object]) -> None:
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
                await self._api.patch_merge(kind, namespace_of(obj), name(obj), patch, naming.MANAGER)
            except (NotFound, Conflict):
                continue


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _where(obj: Object) -> str:
    return "/".join(filter(None, (namespace_of(obj), name(obj))))


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it; without this, say what would be removed")
    parser.add_argument(
        "--operator-namespace",
        default="sluicegate-system",
        metavar="NAMESPACE",
        help="where the operator runs (default sluicegate-system)",
    )
    parser.add_argument(
        "--without-operator",
        action="store_true",
        help="go on where the operator's Deployment is gone already",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="give up after this time (default 600)",
    )
    add_output_flag(parser)
    add_cluster_flags(parser)


async def _run(args: Namespace) -> int:
    async with connected(args) as cluster:
        installation, there = await find(cluster.client, args.operator_namespace)
        if not there and not args.without_operator:
            raise _no_operator(installation, cluster.server)
        going = await _listed(cluster.client, installation.groups())
        kept = await _listed(cluster.client, installation.kept())
        told = as_json if args.output == "json" else as_text
        print(told(cluster.server, installation, going, kept), flush=True)
        if not args.yes:
            raise CommandError("nothing was removed: add --yes to remove it", Exit.USAGE_OR_PERMISSION)
        await _remove(cluster.client, installation, args.deadline)
    return Exit.OK


async def _remove(api: Api, installation: Installation, deadline: float) -> None:
    started = asyncio.get_running_loop().time()

    def say(text: str) -> None:
        print(f"{asyncio.get_running_loop().time() - started:5.0f} s  {text}", file=sys.stderr, flush=True)

    work = Uninstall(api, installation, say)
    try:
        async with asyncio.timeout(deadline):
            await work.run()
    except TimeoutError as late:
        raise CommandError(
            f"not everything is gone after {deadline:.0f} s; left: {work.left}. Look at their finalizers and "
            "events, then run the command again: it goes on where it stopped",
            Exit.TIMEOUT,
        ) from late
    say("nothing is left")


def _no_operator(installation: Installation, server: str) -> CommandError:
    missing = f'there is no operator in namespace "{installation.namespace}" of {server}'
    if installation.others:
        found = " or ".join(sorted(installation.others))
        return CommandError(f"{missing}: pass --operator-namespace {found}", Exit.USAGE_OR_PERMISSION)
    return CommandError(
        f"{missing}: check --context and --operator-namespace; if its Deployment was deleted already, pass "
        "--without-operator",
        Exit.USAGE_OR_PERMISSION,
    )


async def _listed(api: Lists, groups: Iterable[Group]) -> Objects:
    return [(group.kind, obj) for group in groups for obj in await group.listed(api)]


def as_text(server: str, installation: Installation, going: Objects, kept: Objects) -> str:
    """The plan for people, whole: nothing is removed that is not in it."""
    return "\n".join(_lines(server, installation, going, kept))


def _lines(server: str, installation: Installation, going: Objects, kept: Objects) -> Iterator[str]:
    serves = ", ".join(sorted(installation.serves)) or "all namespaces"
    yield from table(
        [("Server", server), ("Operator in", installation.namespace), ("which serves", serves)],
    )
    yield "\nRemoved"
    yield from table(_rows(going), indent="  ")
    if installation.others:
        yield f"\nKept, for there are operators in {', '.join(sorted(installation.others))}"
        yield from table(_rows(kept), indent="  ")


def _rows(objects: Objects) -> list[tuple[str, str]]:
    return [(kind.kind, _where(obj)) for kind, obj in objects]


def as_json(server: str, installation: Installation, going: Objects, kept: Objects) -> str:
    """The plan for machines."""
    plan = {
        "server": server,
        "operatorNamespace": installation.namespace,
        "serves": sorted(installation.serves),
        "otherOperators": sorted(installation.others),
        "removed": [_named(kind, obj) for kind, obj in going],
        "kept": [_named(kind, obj) for kind, obj in kept],
    }
    return json.dumps(plan, indent=2)


def _named(kind: Resource, obj: Object) -> Mapping[str, str]:
    return {"kind": kind.kind, "namespace": namespace_of(obj), "name": name(obj)}


COMMAND = Command("uninstall", "remove models, operator and definitions, in order", _add_arguments, _run)
