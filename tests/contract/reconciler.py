"""One case of the reconciler on one API server: how its writes were answered, and what is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.contract.transcript import comparable, equal
from tests.shell.cases import CASES
from tests.shell.rig import Rig, Site, a_cluster

from sluicegate.core import naming
from sluicegate.core.objects import Manifest
from sluicegate.kube import resources

KEPT = (
    resources.LLM_DEPLOYMENT,
    resources.MODEL_VERSION,
    resources.REPLICA_SET,
    resources.POD,
    resources.SERVICE,
    resources.CONFIG_MAP,
    resources.CONTROLLER_REVISION,
    resources.SECRET,
    resources.DISRUPTION_BUDGET,
    resources.NETWORK_POLICY,
)
OURS = f"{naming.MANAGED_BY}={naming.MANAGER}"
# When a Lease is renewed and when an event is told depends on the clock.
BY_THE_CLOCK = ("leases", "events")


Answer = tuple[str, str, int, str]
"""Method, plural (with subresource), HTTP status, reason."""


@dataclass
class Trace:
    """`state` is what is left, by kind."""

    answers: set[Answer] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)


async def trace(name: str, site: Site) -> Trace:
    """Runs a case; raises what it asserts."""
    found = Trace()

    @asynccontextmanager
    async def recorded(*objects: Manifest) -> AsyncIterator[Rig]:
        async with a_cluster(*objects, site=site) as rig:
            yield rig
            await rig.settle()
            found.answers = {_answer(each.method, each.path, each.code, each.reason) for each in _writes(rig)}
            found.state = equal({kind.plural: await _left(rig, kind) for kind in KEPT})

    await CASES[name](recorded)
    return found


def _writes(rig: Rig) -> list[Any]:
    return [
        each
        for each in rig.wire.answered
        if each.method != "GET" and not set(BY_THE_CLOCK) & set(each.path.split("/"))
    ]


def _answer(method: str, path: str, code: int, reason: str) -> Answer:
    _, _, rest = path.partition("/namespaces/")
    plural, _, named = rest.partition("/")[2].partition("/")
    _, _, subresource = named.partition("/")
    return method, f"{plural}/{subresource}" if subresource else plural, code, reason


async def _left(rig: Rig, kind: resources.Resource) -> list[Any]:
    # A namespace of a real cluster may hold objects of the cluster's own.
    selector = OURS if kind.api_version == "v1" else ""
    found = await rig.truth.list(kind, rig.site.namespace, label_selector=selector)
    return [_without_secrets(comparable(obj)) for obj in found.items]


def _without_secrets(obj: dict[str, Any]) -> dict[str, Any]:
    """Without what is made from a uid: the control token, and the hash of an intent."""
    obj["metadata"].get("annotations", {}).pop(naming.INTENT, None)
    return {key: value for key, value in obj.items() if obj.get("kind") != "Secret" or key != "data"}


def differences_in(real: set[Answer], fake: set[Answer]) -> list[str]:
    """What was answered on one server only."""
    return [f"{each} / -" for each in sorted(real - fake)] + [f"- / {each}" for each in sorted(fake - real)]
