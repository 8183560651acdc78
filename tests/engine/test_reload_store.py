"""What the engine's container orders is what the store's container understands, and the other way round."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from tests.store.builders import a_model
from tests.store.inspecting import look

from sluicegate_engine.pointer import Source, Target, has_snapshot
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.reload.store import ELSEWHERE, StoreClient
from sluicegate_store.errors import Reason
from sluicegate_store.layout import Store
from sluicegate_store.sidecar import Sidecar


async def ingest(tmp_path: Path, target: Target) -> None:
    """Order it of a real sidecar whose one claim is in tmp_path/claim."""
    pointer = tmp_path / "pointer.json"
    pointer.write_text(
        '{"version": "v1", "digest": "sha256:%s", "source": {"uri": "pvc://c/m"}}' % ("0" * 64)
    )
    sidecar = Sidecar(Store(tmp_path / "models"), pointer, tmp_path, {})
    async with TestServer(sidecar.orders()) as server, aiohttp.ClientSession() as session:
        await StoreClient(session, str(server.make_url("")).rstrip("/")).ingest(target, (target,))


async def test_a_model_is_where_the_engine_looks_for_it(tmp_path: Path) -> None:
    a_model().write(tmp_path / "claim" / "m")
    target = Target("v2", look(tmp_path).manifest.digest, Source("pvc://claim/m"))
    await ingest(tmp_path, target)
    assert has_snapshot(tmp_path / "models", target)


@pytest.mark.parametrize(
    ("uri", "reason", "said"),
    [
        ("pvc://elsewhere/m", "RestartRequired", "SourceUnreachable: pvc://elsewhere/m"),
        ("pvc://claim/m", "IngestFailed", "DigestMismatch: pvc://claim/m"),
    ],
)
async def test_a_refusal_tells_whether_another_pod_could(
    tmp_path: Path, uri: str, reason: str, said: str
) -> None:
    a_model().write(tmp_path / "claim" / "m")
    with pytest.raises(RefusedError) as caught:
        await ingest(tmp_path, Target("v2", f"sha256:{'1' * 64}", Source(uri)))
    assert caught.value.reason == reason
    assert caught.value.message.startswith(said)


def test_what_may_lie_in_the_pod_are_reasons_of_the_store() -> None:
    assert ELSEWHERE.keys() < {str(reason) for reason in Reason}
