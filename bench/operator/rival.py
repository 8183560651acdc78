"""The bare client: it creates what the operator created, and does nothing else.

What the operator sends is known from its plan, which is a pure function. The copies differ in namespace and
owner, and their label names another manager, lest the operator's watches bring them to it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from bench.operator.stage import COPIES, MANAGER, OWNED
from sluicegate.core import naming, objects
from sluicegate.core.objects import Manifest
from sluicegate.core.observed import Defaults, SeenDeployment
from sluicegate.core.plan import Create
from sluicegate.core.planner import plan_deployment
from sluicegate.kube.client import Client
from sluicegate.kube.resources import resource_of
from sluicegate.shell.controller import WORKERS

OTHER_MANAGER = "bareclient"  # as long as ours

Object = dict[str, Any]


def copies(deployment: Manifest, version: Manifest, defaults: Defaults) -> list[Object]:
    """The children that the operator makes of a new deployment, as somebody else's."""
    seen = SeenDeployment(deployment, defaults, {objects.name(version): version})
    plan = plan_deployment(seen, datetime.now(UTC))
    made = [dict(action.manifest) for action in plan.actions if isinstance(action, Create)]
    owner = str(uuid4())
    return [_copied(each, objects.uid(deployment), owner) for each in made]


def _copied(manifest: Object, uid: str, other_uid: str) -> Object:
    text = json.dumps(manifest).replace(uid, other_uid)
    copy: Object = json.loads(text.replace(f'"namespace": "{OWNED}"', f'"namespace": "{COPIES}"'))
    copy["metadata"]["labels"][naming.MANAGED_BY] = OTHER_MANAGER
    return copy


async def create(families: Sequence[Sequence[Object]], kubeconfig: str) -> None:
    """Create all objects, each family in its order, as many at a time as the operator has workers."""
    async with await Client.from_environment(kubeconfig) as client:

        async def create_one(family: Sequence[Object]) -> None:
            for manifest in family:
                await client.create(manifest, MANAGER)

        await side_by_side(create_one, families)


async def remove(client: Client, families: Iterable[Sequence[Object]]) -> None:
    async def remove_one(family: Sequence[Object]) -> None:
        for manifest in family:
            await client.delete(resource_of(manifest), COPIES, objects.name(manifest))

    await side_by_side(remove_one, families)


async def side_by_side(work: Callable[[Any], Awaitable[None]], items: Iterable[Any]) -> None:
    """Do the work on every item, on as many at a time as the operator has workers."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
