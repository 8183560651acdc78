"""Runs the cases against one server, in a namespace each."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tests.contract.cases import each_kind, lifecycle, ownership, reading, subresources, validation  # noqa: F401
from tests.contract.cases.table import CASES
from tests.contract.objects import having, of
from tests.contract.transcript import Transcript
from tests.shell.kit import eventually

from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists, ApiError
from sluicegate.kube.transport import Response

HERE = Path(__file__).parent


def crd() -> dict[str, Any]:
    return yaml.safe_load((HERE / "crd.yaml").read_text())  # type: ignore[no-any-return]


def golden(name: str) -> Path:
    return HERE / "golden" / f"{name}.json"


async def prepare(client: Client) -> None:
    """Install the contract's CRD and wait until it is served."""
    with suppress(AlreadyExists):
        await client.create(crd(), "contract")
    await until_served(client, resources.LLM_DEPLOYMENT)


async def until_served(client: Client, *kinds: resources.Resource) -> None:
    """The server takes up a definition a moment after it is stored. Raises TimeoutError after 30 s."""
    for kind in kinds:
        await eventually(partial(_is_served, client, kind), 30, every=0.05)


async def _is_served(client: Client, kind: resources.Resource) -> bool:
    try:
        await client.list(kind)
    except ApiError:
        return False
    return True


async def transcript(client: Client, name: str) -> list[Any]:
    """What the server answers to one case, in a new namespace."""
    created = await client.create(
        {**of("v1", "Namespace", ""), "metadata": {"generateName": "contract-"}}, "contract"
    )
    namespace = created["metadata"]["name"]
    # Without it no pod is admitted; where a controller-manager runs, it may come first.
    with suppress(AlreadyExists):
        await client.create(having(of("v1", "ServiceAccount", "default"), namespace=namespace), "contract")
    steps = Transcript(client, namespace)
    await CASES[name](steps)
    return steps.comparable()


async def open_api(client: Client, path: str) -> Response:
    return await client.transport.request("GET", f"/openapi/v3/{path}", {}, None, "application/json")
