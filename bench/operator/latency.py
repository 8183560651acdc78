"""How long a real API server takes for each kind of request, from one client over kept-alive connections.

The simulator's requests take as long, in virtual time: tests/sim/latency.py has the medians. There is no
other load; each request is sent when the one before it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

from bench.operator.figures import Figure, add_output, show
from bench.operator.stage import COPIES, MANAGER, Object, deployment, stage
from sluicegate.kube.client import Client
from sluicegate.kube.resources import CONFIG_MAP

RUNS = 300
LISTED = 100
WARM_UP = 20

Request = Callable[[int], Awaitable[object]]


class Latency:
    """Figures in milliseconds, of `runs` requests each."""

    def __init__(self, client: Client, runs: int) -> None:
        self._client = client
        self._runs = runs

    async def run(self) -> list[Figure]:
        client = self._client
        made = [await client.create(_config_map(f"listed-{number:03}"), MANAGER) for number in range(LISTED)]
        await client.create(deployment("asked"), MANAGER)
        name = made[0]["metadata"]["name"]
        return [
            await self._timed("get", lambda number: client.get(CONFIG_MAP, COPIES, name)),
            await self._timed(f"list of {LISTED}", lambda number: client.list(CONFIG_MAP, COPIES)),
            await self._timed("create", lambda number: client.create(_config_map(f"new-{number}"), MANAGER)),
            await self._timed("apply", lambda number: self._apply(name, number)),
            await self._timed("apply to status", self._apply_status),
            await self._timed("merge patch", lambda number: self._patch(name, number)),
            await self._timed("update", lambda number: client.replace(_config_map(name, number), MANAGER)),
            await self._timed("delete", lambda number: client.delete(CONFIG_MAP, COPIES, f"new-{number}")),
            await self._timed("opening of a watch", partial(self._open_watch, await self._version())),
            await self._news(name),
        ]

    async def _timed(self, name: str, request: Request) -> Figure:
        taken = []
        for number in range(self._runs + WARM_UP):
            started = perf_counter()
            await request(number)
            taken.append(1000 * (perf_counter() - started))
        return Figure(name, "ms", taken[WARM_UP:])

    async def _apply(self, name: str, number: int) -> None:
        await self._client.apply(_config_map(name, number), MANAGER, force=True)

    async def _apply_status(self, number: int) -> None:
        asked = {key: deployment("asked")[key] for key in ("apiVersion", "kind", "metadata")}
        told = {**asked, "status": {"observedGeneration": number + 1}}
        await self._client.apply(told, MANAGER, force=True, subresource="status")

    async def _patch(self, name: str, number: int) -> None:
        data = {"data": {"patched": str(number)}}
        await self._client.patch_merge(CONFIG_MAP, COPIES, name, data, MANAGER)

    async def _open_watch(self, version: str, number: int) -> None:
        async with self._client.transport.stream(CONFIG_MAP.path(COPIES), _watch(version)):
            return

    async def _news(self, name: str) -> Figure:
        """From the sending of a write to the line of a watch that tells of it."""
        path, taken = CONFIG_MAP.path(COPIES), []
        async with self._client.transport.stream(path, _watch(await self._version())) as stream:
            for number in range(self._runs + WARM_UP):
                started = perf_counter()
                patch = asyncio.create_task(self._patch(name, -number - 1))
                await anext(stream.chunks)
                taken.append(1000 * (perf_counter() - started))
                await patch
        return Figure("merge patch, until a watch tells of it", "ms", taken[WARM_UP:])

    async def _version(self) -> str:
        return (await self._client.list(CONFIG_MAP, COPIES)).resource_version


def _watch(version: str) -> dict[str, str]:
    return {"watch": "true", "resourceVersion": version, "timeoutSeconds": "600"}


def _config_map(name: str, number: int = 0) -> Object:
    metadata = {"name": name, "namespace": COPIES}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": str(number)}}


async def _measure(runs: int) -> list[Figure]:
    async with stage() as ready:
        return await Latency(ready.client, runs).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.operator.latency", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    add_output(parser)
    options = parser.parse_args()
    show(asyncio.run(_measure(options.runs)), options.output)


if __name__ == "__main__":
    main()
