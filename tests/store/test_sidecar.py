"""What /ready says while a model is on its way, and what the sidecar does when the source is away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from tests.store.builders import a_model
from tests.store.conftest import RunningHub
from tests.store.inspecting import look

from sluicegate_store import sidecar as module
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.layout import Store
from sluicegate_store.progress import Progress
from sluicegate_store.sidecar import Sidecar, read_pointer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Sleeps:
    """A clock that waits only when told, and remembers for how long it was asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.asleep.set()
        await self.wake.wait()


def pointer(tmp_path: Path, digest: str, **more: Any) -> Path:
    path = tmp_path / "pointer.json"
    path.write_text(json.dumps(part("v1", digest, "pvc://claim/m") | more))
    return path


def part(version: str, digest: str, uri: str, endpoint: str | None = None) -> dict[str, Any]:
    return {"version": version, "digest": digest, "source": {"uri": uri, "endpoint": endpoint}}


def a_sidecar(tmp_path: Path, at: Path, tokens: dict[str, str] | None = None, **more: Any) -> Sidecar:
    return Sidecar(Store(tmp_path / "models"), at, tmp_path, tokens or {}, **more)


async def answer(client: TestClient[Any, Any]) -> dict[str, Any]:
    response = await client.get("/ready")
    return {"status": response.status, **await response.json()}


async def test_ready_tells_the_phase_and_bytes_while_files_are_copied(tmp_path, monkeypatch):
    a_model().write(tmp_path / "claim" / "m")
    digest = look(tmp_path).manifest.digest
    copying, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = module.ingest

    def held(*arguments: Any) -> Path:
        progress: Progress = arguments[-1]
        progress.begin("Fetching", 100)
        progress.advance(40)
        loop.call_soon_threadsafe(copying.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return real(*arguments)

    monkeypatch.setattr(module, "ingest", held)
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, digest))
    async with TestClient(TestServer(sidecar.application())) as client:
        assert (await answer(client))["phase"] == "Pending"
        running = asyncio.create_task(sidecar.run())
        await copying.wait()

        assert await answer(client) == {
            "status": 503,
            "ready": False,
            "version": "v1",
            "phase": "Fetching",
            "bytesDone": 40,
            "bytesTotal": 100,
            "error": None,
        }
        release.set()
        await running
        assert (await answer(client))["status"] == 200


async def test_a_source_that_is_away_is_asked_again_and_the_reason_is_shown(tmp_path, monkeypatch):
    a_model().write(tmp_path / "claim" / "m")
    digest = look(tmp_path).manifest.digest
    real, failures = module.ingest, 3

    def flaky(*arguments: Any) -> Path:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreError(Reason.SOURCE_UNREACHABLE, "away")
        return real(*arguments)

    monkeypatch.setattr(module, "ingest", flaky)
    sleeps = Sleeps()
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, digest), sleep=sleeps)
    async with TestClient(TestServer(sidecar.application())) as client:
        running = asyncio.create_task(sidecar.run())
        await sleeps.asleep.wait()
        body = await answer(client)
        assert (body["status"], body["phase"]) == (503, "Waiting")
        assert body["error"] == {"reason": "SourceUnreachable", "message": "away", "retryable": True}

        sleeps.wake.set()
        await running
        assert sleeps.asked == [1.0, 2.0, 4.0]
        assert (await answer(client))["error"] is None


async def test_a_terminal_error_is_raised_and_stays_visible(tmp_path):
    a_model().write(tmp_path / "claim" / "m")
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, f"sha256:{'0' * 64}"), sleep=Sleeps())
    async with TestClient(TestServer(sidecar.application())) as client:
        with pytest.raises(StoreError):
            await sidecar.run()

        body = await answer(client)
    assert (body["status"], body["phase"], body["error"]["reason"]) == (503, "Failed", "DigestMismatch")


def test_waits_double_up_to_a_minute():
    waits = module._waits()

    assert [next(waits) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_pointer_may_name_an_endpoint_and_a_draft():
    model = part("v", f"sha256:{'0' * 64}", "hf://x", "http://hub")

    targets = read_pointer(json.dumps({**model, "draft": {**model, "version": "d"}}).encode())

    assert [(target.version, target.endpoint) for target in targets] == [
        ("v", "http://hub"),
        ("d", "http://hub"),
    ]


async def test_each_hub_is_sent_the_token_of_its_own_model(start_hub, tmp_path):
    hubs = {"model": start_hub("main"), "draft": start_hub("other")}
    parts = [on_a_hub(hub, name, seed, tmp_path) for seed, (name, hub) in enumerate(hubs.items())]
    for name, running in hubs.items():
        running.hub.token = f"token-of-{name}"
    (tmp_path / "pointer.json").write_text(json.dumps({**parts[0], "draft": parts[1]}))
    tokens = {"HF_TOKEN": "token-of-model", "HF_TOKEN_DRAFT": "token-of-draft"}

    await a_sidecar(tmp_path, tmp_path / "pointer.json", tokens).run()

    for name, running in hubs.items():
        assert {sent for _, _, sent in running.hub.requests} == {f"Bearer token-of-{name}"}


async def test_a_draft_without_a_secret_is_asked_for_without_the_models_token(start_hub, tmp_path):
    a_model(1).write(tmp_path / "claim" / "m")
    digest, hub = look(tmp_path).manifest.digest, start_hub("hub")
    draft = on_a_hub(hub, "draft", 2, tmp_path)

    await a_sidecar(tmp_path, pointer(tmp_path, digest, draft=draft), {"HF_TOKEN": "secret"}).run()

    assert {sent for _, _, sent in hub.hub.requests} == {None}


async def test_what_an_earlier_try_left_goes_when_all_is_in_place(tmp_path):
    a_model().write(tmp_path / "claim" / "m")
    store = Store(tmp_path / "models")
    left = store.root / "blobs" / "sha256" / "00" / ("0" * 64)
    left.parent.mkdir()
    left.write_bytes(b"x")

    await a_sidecar(tmp_path, pointer(tmp_path, look(tmp_path).manifest.digest)).run()

    assert not left.exists()
    assert len(list((store.root / "blobs").glob("*/*/*"))) == len(set(a_model().files.values()))


async def order(sidecar: Sidecar, body: object) -> tuple[int, dict[str, Any]]:
    """What POST /ingest answers."""
    async with TestClient(TestServer(sidecar.orders())) as client:
        response = await client.post("/ingest", json=body)
        return response.status, await response.json()


def two_models(tmp_path: Path) -> list[str]:
    """Digests of models on the claim at m and n."""
    for seed, name in enumerate("mn"):
        a_model(seed).write(tmp_path / "claim" / name)
    return [look(tmp_path, f"pvc://claim/{name}").manifest.digest for name in "mn"]


async def test_a_model_is_brought_on_order(tmp_path):
    first, second = two_models(tmp_path)
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, first))
    await sidecar.run()

    answered = await order(sidecar, {**part("v2", second, "pvc://claim/n"), "keep": [first]})

    assert answered == (200, {"ready": True})
    assert Store(tmp_path / "models").verified(second, Progress())


async def test_an_order_makes_room_of_all_but_what_the_engine_and_the_pointer_name(tmp_path):
    first, second = two_models(tmp_path)
    a_model(7).write(tmp_path / "claim" / "o")
    third = look(tmp_path, "pvc://claim/o").manifest.digest
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, first))
    await sidecar.run()
    await order(sidecar, {**part("v2", second, "pvc://claim/n"), "keep": []})

    await order(sidecar, {**part("v3", third, "pvc://claim/o"), "keep": [third]})

    store = Store(tmp_path / "models")
    assert [bool(store.snapshot(digest)) for digest in (first, second, third)] == [True, False, True]
    kept = {path.stat().st_ino for path in store.root.glob("snapshots/*/*")}
    assert {path.stat().st_ino for path in store.root.glob("blobs/sha256/*/*")} == kept


@pytest.mark.parametrize(
    ("uri", "reason"),
    [("pvc://elsewhere/m", "SourceNotFound"), ("pvc://claim/n", "DigestMismatch")],
)
async def test_an_order_that_cannot_be_followed_is_answered_with_the_reason(tmp_path, uri, reason):
    first, _ = two_models(tmp_path)
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, first))
    await sidecar.run()

    status, said = await order(sidecar, {**part("v2", f"sha256:{'1' * 64}", uri), "keep": []})

    assert (status, said["error"]["reason"]) == (422, reason)


async def test_an_order_that_is_none_is_refused(tmp_path):
    sidecar = a_sidecar(tmp_path, pointer(tmp_path, f"sha256:{'0' * 64}"))

    assert (await order(sidecar, {"version": "v"}))[0] == 400


async def test_an_order_sends_the_pods_token_to_the_hub_of_its_pointer_and_to_no_other(start_hub, tmp_path):
    own, other = start_hub("own"), start_hub("other")
    served, wanted = (on_a_hub(own, name, seed, tmp_path) for seed, name in enumerate(("v1", "v2")))
    stolen = on_a_hub(other, "v3", 3, tmp_path)
    (tmp_path / "pointer.json").write_text(json.dumps(served))
    sidecar = a_sidecar(tmp_path, tmp_path / "pointer.json", {"HF_TOKEN": "secret"})

    for each in (wanted, stolen):
        assert (await order(sidecar, {**each, "keep": []}))[0] == 200

    assert {sent for _, _, sent in own.hub.requests} == {"Bearer secret"}
    assert {sent for _, _, sent in other.hub.requests} == {None}


def on_a_hub(running: RunningHub, name: str, seed: int, tmp_path: Path) -> dict[str, Any]:
    """A model published on a hub, as a part of a pointer."""
    a_model(seed).write(running.hub.root / "org" / name / COMMIT)
    a_model(seed).write(tmp_path / "claim" / name)
    digest = look(tmp_path, f"pvc://claim/{name}").manifest.digest
    return part(name, digest, f"hf://org/{name}@{COMMIT}", running.endpoint)
