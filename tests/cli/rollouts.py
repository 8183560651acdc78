"""A deployment on a simulated API server, what an operator would say of it, and a wait for its rollout."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.builders import ADeployment
from tests.shell.rig import CRDS, NAMESPACE
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer

from sluicegate.cli import cluster
from sluicegate.cli.cluster import Cluster, explained
from sluicegate.cli.command import CommandError
from sluicegate.cli.main import parser
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.resources import LLM_DEPLOYMENT

NAME = "chat"
SINCE = "2026-01-01T00:00:00Z"
OLD, NEW = "0a1b2c3d", "ffffffff"


class Scene:
    """`truth` is everybody's way to the API server, `wire` the command's."""

    def __init__(self, server: ApiServer | None = None) -> None:
        self.server = server or ApiServer(CRDS, namespaces=(NAMESPACE,))
        self.truth = Client(self.server)
        self.wire = Wire(self.server)

    async def has_a_deployment(self, version: str = "v1", **metadata: Any) -> None:
        made = ADeployment(NAME, NAMESPACE).of(version).build()
        meta = {"name": NAME, "namespace": NAMESPACE, **metadata}
        await self.truth.create({**made, "metadata": meta}, "kubectl")

    async def edit(self, **spec: Any) -> None:
        await self.patch({"spec": spec})

    async def patch(self, patch: Mapping[str, Any], subresource: str = "") -> None:
        await self.truth.patch_merge(
            LLM_DEPLOYMENT, NAMESPACE, NAME, patch, "kubectl", subresource=subresource
        )

    async def annotations(self) -> dict[str, str]:
        live = await self.truth.get(LLM_DEPLOYMENT, NAMESPACE, NAME)
        return live["metadata"].get("annotations") or {}

    async def delete(self) -> None:
        await self.truth.delete(LLM_DEPLOYMENT, NAMESPACE, NAME)

    async def operator_says(
        self,
        ready: bool,
        reason: str,
        *,
        message: str = "so it is",
        stalled: bool = False,
        serving: str | None = None,
        step: str | None = None,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write the status for the present spec. `serving` answers, and `step` is of a rollout to another."""
        live = await self.truth.get(LLM_DEPLOYMENT, NAMESPACE, NAME)
        generation, version = live["metadata"]["generation"], live["spec"]["modelVersion"]
        conditions = [_condition("Ready", ready, reason, message, generation)]
        if stalled:
            conditions.append(_condition("Stalled", True, reason, message, generation))
        rollout = {"id": NEW, "toVersion": version, "step": step, "stepStartedAt": SINCE}
        status = {
            "observedGeneration": generation,
            "conditions": conditions,
            "serving": serving and {"version": serving, "rollout": NEW if serving == version else OLD},
            "rollout": rollout if step else None,
            "history": list(history),
        }
        await self.patch({"status": status}, "status")

    async def operator_promotes(self, version: str) -> None:
        await self.operator_says(True, "Serving", message=f"{version} answers", serving=version)

    def away(self, seconds: float) -> None:
        """Every connection of the command breaks, and nobody listens for so long."""

        def refuse(method: str, path: str) -> None:
            raise ConnectionRefusedError("nobody listens")

        self.wire.refuse = refuse
        self.server.store.interrupt(ConnectionResetError("the server ended"))
        asyncio.get_running_loop().call_later(seconds, setattr, self.wire, "refuse", _nothing)


def _nothing(method: str, path: str) -> None:
    return None


def _condition(type: str, status: bool, reason: str, message: str, generation: int) -> dict[str, Any]:
    return {
        "type": type,
        "status": str(status),
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": SINCE,
    }


class Commands:
    """The commands as a shell runs them, on the cluster behind a wire."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, group: str = "rollout") -> None:
        self._monkeypatch = monkeypatch
        self._group = group

    def speak_to(self, wire: Wire, timeout: float = 30.0) -> None:
        @asynccontextmanager
        async def connected(args: Namespace) -> AsyncIterator[Cluster]:
            try:
                yield Cluster(Client(wire, timeout=timeout), NAMESPACE, "https://cluster")
            except ApiError as error:
                raise explained(error) from error

        self._monkeypatch.setattr(cluster, "connected", connected)

    async def run(self, *argv: str) -> tuple[int, str]:
        """The exit code, and what is told on standard error at the end."""
        args = parser().parse_args([self._group, *argv])
        try:
            return int(await args.command.run(args)), ""
        except CommandError as error:
            return int(error.code), str(error)
