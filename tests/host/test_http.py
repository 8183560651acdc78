"""The port that kubelet and Prometheus read."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.sim.apiserver import ApiServer

from sluicegate.core.objects import controller_uid
from sluicegate.host.health import SILENCE_SECONDS, Health
from sluicegate.host.http import http_server
from sluicegate.host.metrics import DEPLOYMENTS_SHOWN, Metrics
from sluicegate.kube.client import Client
from sluicegate.kube.resources import POD
from sluicegate.shell.informer import Informer
from sluicegate.shell.keys import Key
from sluicegate.shell.store import Cache
from sluicegate.shell.trim import trim


class World:
    """An informer that has been started at 0, a clock, and kopf, all pretended."""

    def __init__(self) -> None:
        self.time = 0.0
        self.kopf_lives = True
        self.metrics = Metrics()
        cache = Cache(controller_uid, lambda old, new: None)
        self.informer = Informer(
            Client(ApiServer()), POD, "", "", cache, trim, self.metrics, random.Random(0)
        )
        self.health = Health([self.informer], lambda: self.kopf_lives, lambda: self.time)


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    async with http_server(0, world.health, world.metrics.exposition, "127.0.0.1") as port:
        yield f"http://127.0.0.1:{port}"


def a_socket(family: socket.AddressFamily) -> socket.socket:
    """One of this family alone."""
    made = socket.socket(family)
    if family is socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_ready_once_every_cache_is_filled() -> None:
    world = World()
    async with served(world) as url:
        assert await get(f"{url}/readyz") == (503, "the cache of Pod is not filled yet")
        world.informer.synced.set()
        assert await get(f"{url}/readyz") == (200, "ok")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_the_port_is_held_in_clusters_of_either_ip_family(family: socket.AddressFamily) -> None:
    world = World()
    with a_socket(socket.AF_INET6) as free:
        free.bind(("::", 0))
        port = int(free.getsockname()[1])
    async with http_server(port, world.health, world.metrics.exposition):
        with a_socket(family) as late, pytest.raises(OSError, match="in use"):
            late.bind(("", port))


async def test_unhealthy_when_a_kind_has_been_silent_for_too_long() -> None:
    world = World()
    async with served(world) as url:
        world.informer.heard_at = 100.0
        world.time = 100.0 + SILENCE_SECONDS
        assert await get(f"{url}/healthz") == (200, "ok")
        world.time += 1
        assert await get(f"{url}/healthz") == (503, "nothing was heard of Pod for 150 s")


async def test_unhealthy_when_nothing_was_ever_heard() -> None:
    world = World()
    world.time = SILENCE_SECONDS + 1
    assert world.health.unhealthy()


async def test_unhealthy_when_kopf_has_ended() -> None:
    world = World()
    world.kopf_lives = False
    async with served(world) as url:
        status, why = await get(f"{url}/healthz")
        assert (status, why) == (503, "the watch of custom resources has ended")


async def test_metrics_carry_our_prefix_and_the_names_of_controller_runtime() -> None:
    world = World()
    world.metrics.reconciled("LLMDeployment", "success", 0.02)
    world.metrics.requested("get", "Pod", 200, 0.01)
    world.metrics.ready(Key("LLMDeployment", "models", "chat"), True)
    world.metrics.show("leader", "Whether this replica leads.", lambda: 1)
    async with served(world) as url:
        status, text = await get(f"{url}/metrics")
    assert status == 200
    assert 'sluicegate_reconcile_total{kind="LLMDeployment",result="success"} 1.0' in text
    assert 'sluicegate_api_requests_total{code="200",kind="Pod",verb="get"} 1.0' in text
    assert 'sluicegate_deployment_ready{name="chat",namespace="models"} 1.0' in text
    assert "sluicegate_leader 1.0" in text
    ours = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(line.startswith("sluicegate_") for line in ours)


def test_a_deployment_that_is_gone_is_shown_no_more_and_their_number_is_bounded() -> None:
    metrics = Metrics()
    for number in range(DEPLOYMENTS_SHOWN + 10):
        metrics.ready(Key("LLMDeployment", "models", f"chat-{number}"), False)
    assert metrics.exposition().decode().count("sluicegate_deployment_ready{") == DEPLOYMENTS_SHOWN
    metrics.forgotten(Key("LLMDeployment", "models", "chat-0"))
    metrics.forgotten(Key("LLMDeployment", "models", "never-seen"))
    assert 'name="chat-0"' not in metrics.exposition().decode()


def test_two_operators_in_one_process_count_for_themselves() -> None:
    first, second = Metrics(), Metrics()
    first.retried()
    assert b"sluicegate_workqueue_retries_total 0.0" in second.exposition()
