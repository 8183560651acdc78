"""The reconciler's cases on a real kube-apiserver and garbage collector, and on the fake, come to the same.

Where the two differ in code, reason or the state that follows, the fake is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import looptime
import pytest
from e2e.cluster import api_server, garbage_collector
from tests.contract.difference import differences
from tests.contract.reconciler import Trace, differences_in, trace
from tests.contract.run import until_served
from tests.shell.cases import CASES
from tests.shell.rig import CRDS, Site
from tests.sim.apiserver import ApiServer

from sluicegate.kube.client import Client
from sluicegate.kube.config import transport_from
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

REST_SECONDS = 3.0
"""Longer than any pause that the operator makes in a change."""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with api_server(tmp_path_factory.mktemp("reconciler")) as server:
        asyncio.run(_install(str(server.kubeconfig)))
        # It learns of our kinds when it starts; later only twice a minute.
        with garbage_collector(server):
            yield str(server.kubeconfig)


@pytest.mark.parametrize("name", CASES)
def test_the_same_comes_of_it_on_both(name: str, kubeconfig: str) -> None:
    namespace = f"case-{uuid4().hex[:8]}"
    home = f"{namespace}-home"
    real = asyncio.run(_on_the_real_one(name, kubeconfig, namespace, home))
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=1)) as runner:
        fake = runner.run(_on_the_fake(name, namespace, home))
    found = [*differences_in(real.answers, fake.answers), *differences(real.state, fake.state)]
    assert not found, "\n".join(["on the real server / on the fake", *found])


async def _on_the_fake(name: str, namespace: str, home: str) -> Trace:
    site = Site(ApiServer(CRDS, namespaces=(namespace, home)), namespace, home)
    return await trace(name, site)


async def _on_the_real_one(name: str, kubeconfig: str, namespace: str, home: str) -> Trace:
    transport = await transport_from({}, kubeconfig)
    async with Client(transport) as client:
        for each in (namespace, home):
            await client.create(_named("Namespace", each), "test")
        # Without it no pod is admitted.
        await client.create(_named("ServiceAccount", "default", namespace=namespace), "test")
        site = replace(
            Site(transport, namespace, home, lambda: datetime.now(UTC)),
            rest_seconds=REST_SECONDS,
            idle_seconds=REST_SECONDS,
        )
        return await trace(name, site)


async def _install(kubeconfig: str) -> None:
    """Our definitions, once they are served."""
    async with await Client.from_environment(kubeconfig) as client:
        for crd in CRDS:
            await client.create(crd, "test")
        await until_served(client, LLM_DEPLOYMENT, MODEL_VERSION)


def _named(kind: str, name: str, **meta: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **meta}}
