"""`python -m tests.contract.record` writes down what a real API server answers to each case, and its schemas.

The fake is held to the record in every quick run, the record to a real server in every full one.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e2e.cluster import api_server
from tests.contract import rights
from tests.contract.run import CASES, golden, open_api, prepare, transcript
from tests.sim.server import schemas

from sluicegate.kube.client import Client


async def record(kubeconfig: str) -> None:
    async with await Client.from_environment(kubeconfig) as client:
        await prepare(client)
        for name in CASES:
            steps = await transcript(client, name)
            _write(name, steps)
        _write(rights.NAME, await rights.on_a_real_server(client, kubeconfig))
        schemas.write([json.loads((await open_api(client, path)).body) for path in schemas.group_paths()])


def _write(name: str, steps: list[Any]) -> None:
    golden(name).write_text(json.dumps(steps, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    with TemporaryDirectory() as folder, api_server(Path(folder)) as server:
        asyncio.run(record(str(server.kubeconfig)))
