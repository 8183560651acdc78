"""Small things that tests of the shell need: objects, a counting meter, and background tasks that end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sluicegate.core.objects import Manifest
from sluicegate.shell.keys import Key

NAMESPACE = "default"
API_VERSION = "sluicegate.dev/v1alpha1"


class CountingMeter:
    """Counts what the shell tells a meter, by what was told."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        self.counts["reconciled", kind, result] += 1

    def waited(self, seconds: float) -> None:
        self.counts["waited",] += 1

    def retried(self) -> None:
        self.counts["retried",] += 1

    def acted(self, action: str) -> None:
        self.counts["acted", action] += 1

    def stale_sync_skipped(self, kind: str) -> None:
        self.counts["stale", kind] += 1

    def watch_restarted(self, kind: str, reason: str) -> None:
        self.counts["restarted", kind, reason] += 1

    def event_lost(self) -> None:
        self.counts["lost",] += 1

    def ready(self, key: Key, is_ready: bool) -> None:
        self.counts["ready", key.name, is_ready] += 1

    def forgotten(self, key: Key) -> None:
        self.counts["forgotten", key.name] += 1


def a_child(
    kind: str = "ConfigMap", name: str = "chat-model", owner: str = "chat", **rest: Any
) -> dict[str, Any]:
    """An object as we make it for the LLMDeployment called `owner`."""
    api_version = {"Pod": "v1", "Service": "v1", "ConfigMap": "v1", "Secret": "v1"}.get(kind, "apps/v1")
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "sluicegate", "sluicegate.dev/deployment": owner},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "LLMDeployment",
                    "name": owner,
                    "uid": f"uid-of-{owner}",
                    "controller": True,
                }
            ],
        },
        **rest,
    }


def with_meta(obj: Manifest, **meta: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], **meta}}


def a_key(name: str = "chat") -> Key:
    return Key("LLMDeployment", NAMESPACE, name)


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(true: Callable[[], object], seconds: float = 600.0) -> float:
    """Wait, in virtual time, for something to become true; returns for how long it wasn't."""
    start = now()
    while not true():
        assert now() - start < seconds, "it did not become true"
        await asyncio.sleep(0.05)
    return now() - start


async def eventually(true: Callable[[], Awaitable[object]], seconds: float, every: float = 0.5) -> None:
    """Wait until the answer is yes. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await true():
                return
            await asyncio.sleep(every)


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run things in the background; what they raise is raised here."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
