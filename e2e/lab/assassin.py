"""Ends the operator just when one of its own writes was answered, and sees the next one go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from e2e import install
from e2e.cluster.cluster import Cluster
from e2e.lab.audit import Request, Tail
from e2e.lab.lab import Lab
from sluicegate.kube import resources
from sluicegate.kube.client import Client

LEASE = "sluicegate-operator"
TAKEOVER_SECONDS = 90.0
"""The Lease is valid for 15 s, and a new pod that shares two cores with loading engines has to start."""
PASS_SECONDS = 10.0
"""A new leader looks at everything at once."""


@dataclass(frozen=True)
class Write:
    """A kind of write, as the audit log names it; of one object, where `name` is given."""

    verb: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.name}".strip()


@dataclass(frozen=True)
class Kill:
    """After which write, how long after its answer, and how long nobody led from then on."""

    write: Write
    late_seconds: float
    vacant_seconds: float

    def __str__(self) -> str:
        late = f"{self.late_seconds * 1000:.0f} ms"
        return f"killed {late} after {self.write}, next leader after {self.vacant_seconds:.1f} s"


@dataclass(frozen=True)
class _Victim:
    pod: str
    process: int


class Assassin:
    """Ends the operator that looks after a deployment, after writes that come since `watching`."""

    def __init__(self, tail: Tail, lab: Lab, deployment: str, victim: _Victim) -> None:
        self._tail = tail
        self._lab = lab
        self._deployment = deployment
        self._victim = victim

    @classmethod
    async def watching(cls, cluster: Cluster, lab: Lab, deployment: str) -> Assassin:
        return cls(Tail(cluster.audit_log), lab, deployment, await _operator(lab.client))

    async def kill_after(self, write: Write, within: float) -> Kill:
        """SIGKILL once such a write was answered; returns when another operator leads and looks again."""
        answered = await self._tail.until(str(write), lambda each: self._is(each, write), within)
        os.kill(self._victim.process, signal.SIGKILL)
        began, late = time.monotonic(), datetime.now(UTC) - answered.at
        # A container that is restarted often has to wait for it; a new pod does not.
        killed, client = self._victim.pod, self._lab.client
        await client.delete(resources.POD, install.NAMESPACE, killed, grace_seconds=0)
        self._victim = await _operator(client, other_than=killed)
        await _leads(client, self._victim.pod)
        vacant = time.monotonic() - began
        await self._tail.until(f"the successor's look at {self._deployment}", self._looks, PASS_SECONDS)
        return Kill(write, late.total_seconds(), vacant)

    def _is(self, request: Request, write: Write) -> bool:
        return (
            (request.verb, request.resource) == (write.verb, write.resource)
            and request.namespace == self._lab.namespace
            and write.name in ("", request.name)
            and request.code < 300
        )

    def _looks(self, request: Request) -> bool:
        """Each pass begins with a live read."""
        asked = (request.verb, request.resource, request.namespace, request.name)
        wanted = ("get", resources.LLM_DEPLOYMENT.plural, self._lab.namespace, self._deployment)
        return asked == wanted and request.pod == self._victim.pod


async def _operator(client: Client, other_than: str = "") -> _Victim:
    """The operator's one pod of another name, once its process runs."""
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while time.monotonic() < deadline:
        for pod in (await client.list(resources.POD, install.NAMESPACE, label_selector=install.LABELS)).items:
            if pod["metadata"]["name"] != other_than:
                for process in _processes(pod["metadata"]["uid"]):
                    return _Victim(pod["metadata"]["name"], process)
        await asyncio.sleep(0.1)
    raise AssertionError(f"no operator runs {TAKEOVER_SECONDS:.0f} s after {other_than or 'the start'}")


async def _leads(client: Client, pod: str) -> None:
    """Returns once the pod holds the Lease."""
    deadline, holder = time.monotonic() + TAKEOVER_SECONDS, ""
    while time.monotonic() < deadline:
        holder = (await client.get(resources.LEASE, install.NAMESPACE, LEASE))["spec"]["holderIdentity"]
        if holder.startswith(f"{pod}_"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{pod} does not lead after {TAKEOVER_SECONDS:.0f} s, the Lease is {holder}'s")


def _processes(pod_uid: str) -> Iterator[int]:
    """The operator's processes in a pod's cgroups, as this process numbers them."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [b"run"] and pod_uid in (process / "cgroup").read_text():
                yield int(process.name)
