"""Runs the cases against one server, in a namespace each; `python -m tests.contract.run KUBECONFIG`
writes down what a real server answers, for all other runs to be compared with."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from tests.contract.cases import each_kind, lifecycle, ownership, reading, subresources, validation  # noqa: F401
from tests.contract.cases.table import CASES
from tests.contract.transcript import Transcript

from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists, ApiError

HERE = Path(__file__).parent


def crd() -> dict[str, Any]:
    return yaml.safe_load((HERE / "crd.yaml").read_text())  # type: ignore[no-any-return]


def golden(name: str) -> Path:
    return HERE / "golden" / f"{name}.json"


async def prepare(client: Client) -> None:
    """Install the contract's CRD and wait until it is served."""
    with suppress(AlreadyExists):
        await client.create(crd(), "contract")
    for _ in range(100):
        try:
            await client.list(resources.LLM_DEPLOYMENT)
        except ApiError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the CRD of the contract is not served after 10 s: see the API server's log")


async def transcript(client: Client, name: str) -> list[Any]:
    """What the server answers to one case, in a new namespace."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "contract-"}}
    created = await client.create(namespace, "contract")
    steps = Transcript(client, created["metadata"]["name"])
    await CASES[name](steps)
    return steps.comparable()


async def _record(kubeconfig: str) -> None:
    async with await Client.from_environment(kubeconfig) as client:
        await prepare(client)
        for name in CASES:
            steps = await transcript(client, name)
            golden(name).write_text(json.dumps(steps, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1]))
