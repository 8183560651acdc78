"""The operator as a process of its own, beside the fake API server behind a real port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from tests.builders import ADeployment
from tests.host.front import Front, a_front
from tests.sim.apiserver import ApiServer
from tests.sim.server.kinds import read_crds

from sluicegate.kube.client import Client
from sluicegate.kube.resources import LEASE, LLM_DEPLOYMENT, SECRET

ROOT = Path(__file__).parents[2]
HOME = "sluicegate-system"
MEGABYTE = 1024 * 1024


class Process:
    """`sluicegate run` with a kubeconfig that names the front."""

    def __init__(self, running: asyncio.subprocess.Process, front: Front, port: int) -> None:
        self.running = running
        self.front = front
        self.truth = Client(front.server)
        self.lines: list[dict[str, Any]] = []
        self._url = f"http://127.0.0.1:{port}"
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self._url + path) as response:
            return response.status, await response.text()

    async def until_logged(self, message: str, **fields: str) -> dict[str, Any]:
        """The first line of the log that begins so and has these fields."""
        async with asyncio.timeout(60):
            while True:
                for line in self.lines:
                    if line["message"].startswith(message) and fields.items() <= line.items():
                        return line
                await self._news.wait()
                self._news.clear()

    async def until_observed(self, version: str) -> None:
        """Wait for a status that knows its LLMDeployment's first generation."""
        async with asyncio.timeout(60):
            async for event in self.truth.watch(LLM_DEPLOYMENT, resource_version=version):
                if (event.object.get("status") or {}).get("observedGeneration") == 1:
                    return

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            code = await self.running.wait()
            await self._reading
        return code

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.running.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def _read(self) -> None:
        assert self.running.stderr is not None
        async for line in self.running.stderr:
            self.lines.append(json.loads(line))
            self._news.set()


@asynccontextmanager
async def a_process(folder: Path, crds: Iterable[dict[str, Any]] | None = None) -> AsyncIterator[Process]:
    server = ApiServer(read_crds(ROOT / "crds") if crds is None else crds, namespaces=("models", HOME))
    async with a_front(server) as (front, url):
        port = _free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(_kubeconfig(folder, url)),
            "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'runtime'}",
            "SLUICEGATE_ENGINE_IMAGE_CUDA": "cuda:1",
            "SLUICEGATE_ENGINE_IMAGE_CPU": "cpu:1",
            "SLUICEGATE_STORE_IMAGE": "store:1",
            "SLUICEGATE_HTTP_PORT": str(port),
        }
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sluicegate", "run", env=environment, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield Process(running, front, port)
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()


async def test_it_starts_reconciles_and_hands_the_lease_over_at_sigterm(tmp_path: Path) -> None:
    async with a_process(tmp_path) as process:
        await process.until_logged("leading as")
        deployment = ADeployment().build()
        named = {key: deployment["metadata"][key] for key in ("namespace", "name")}
        created = await process.truth.create({**deployment, "metadata": named}, "kubectl")
        line = await process.until_logged("reconciled", key="LLMDeployment models/chat")
        assert {"reconcile_id", "duration", "generation", "actions", "reason"} <= line.keys()
        await process.until_observed(created["metadata"]["resourceVersion"])
        assert await process.get("/readyz") == (200, "ok")
        assert await process.get("/healthz") == (200, "ok")
        assert "sluicegate_leader 1.0" in (await process.get("/metrics"))[1]
        assert process.resident_bytes() <= 120 * MEGABYTE

        process.running.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert (await process.truth.get(LEASE, HOME, "sluicegate-operator"))["spec"]["holderIdentity"] == ""
        assert [line for line in process.lines if line["level"] in ("WARNING", "ERROR")] == []


async def test_without_its_kinds_it_exits_and_says_what_to_install(tmp_path: Path) -> None:
    async with a_process(tmp_path, crds=()) as process:
        line = await process.until_logged("exiting")
        assert "install the CRDs first" in line["traceback"]
        assert await process.ended() == 1


async def test_a_lost_lease_ends_the_process(tmp_path: Path) -> None:
    async with a_process(tmp_path) as process:
        await process.until_logged("leading as")
        taken = {"spec": {"holderIdentity": "another"}}
        await process.truth.patch_merge(LEASE, HOME, "sluicegate-operator", taken, "another")
        assert (await process.until_logged("exiting"))["message"] == "exiting: the Lease was lost"
        assert await process.ended() == 1
        errors = [line["message"] for line in process.lines if line["level"] == "ERROR"]
        assert errors == ["exiting: the Lease was lost"]


async def test_the_key_of_control_tokens_is_made_once_and_kept(tmp_path: Path) -> None:
    async with a_process(tmp_path) as process:
        await process.until_logged("leading as")
        secret = await process.truth.get(SECRET, HOME, "sluicegate-operator-key")
        assert process.front.requests.count(("POST", f"/api/v1/namespaces/{HOME}/secrets")) == 1
        assert secret["data"]["key"] not in json.dumps(process.lines)


def _kubeconfig(folder: Path, url: str) -> Path:
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {}}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
