"""The two commands as containers run them: processes, exit codes, one JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.store.builders import Array, a_model
from tests.store.inspecting import look

from sluicegate_store import cli
from sluicegate_store.errors import Reason
from sluicegate_store.report import LIMIT_BYTES, encode, error_document

RUNTIME = str(Path(cli.__file__).parents[1])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sluicegate_store.cli", *arguments]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": RUNTIME, "HOME": str(home)}


def inspect(tmp_path: Path, *more: str) -> tuple[int, dict[str, Any], subprocess.CompletedProcess[str]]:
    log = tmp_path / "termination-log"
    done = subprocess.run(
        command(
            "inspect",
            "--source",
            "pvc://claim/m",
            "--sources",
            str(tmp_path),
            "--scratch",
            str(tmp_path),
            "--termination-log",
            str(log),
            *more,
        ),
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=False,
        timeout=60,
    )
    assert log.read_text() == done.stdout.strip()
    assert len(log.read_bytes()) <= LIMIT_BYTES
    return done.returncode, json.loads(done.stdout), done


def test_inspect_prints_one_json_and_its_progress(tmp_path):
    a_model().write(tmp_path / "claim" / "m")

    code, document, done = inspect(tmp_path)

    assert code == 0
    assert document == look(tmp_path).body()
    assert "Reading" in done.stderr


def test_inspect_of_a_bad_model_exits_1_with_the_reason(tmp_path):
    a_model().weights({"x" * 9000: Array("BF16", (1,), b"\x80\x7f")}).write(tmp_path / "claim" / "m")

    code, document, _ = inspect(tmp_path)

    assert code == 1
    assert document["error"]["reason"] == "NonFiniteWeights"
    assert document["error"]["retryable"] is False
    assert "xxx…'" in document["error"]["message"]


def test_inspect_compares_with_the_digest_it_is_given(tmp_path):
    a_model().write(tmp_path / "claim" / "m")

    code, document, _ = inspect(tmp_path, "--expect", f"sha256:{'0' * 64}")

    assert (code, document["error"]["reason"]) == (1, "DigestMismatch")


async def test_inspect_ends_on_sigterm_and_leaves_no_scratch_files(tmp_path):
    asked = asyncio.Event()

    async def silent(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = await asyncio.create_subprocess_exec(
        *command("inspect", "--source", f"hf://org/model@{'a' * 40}", "--scratch", str(scratch)),
        *("--endpoint", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"),
        env=environment(tmp_path),
    )
    await asked.wait()

    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 143
    assert not list(scratch.iterdir())
    server.close()


@pytest.mark.parametrize("arguments", [[], ["inspect"], ["inspect", "--source", "x", "--expect", "sha256:0"]])
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("message", ["é" * 5000, "\x00" * 5000, "\ud800" * 5000, '"' * 5000, "short"])
def test_the_document_of_a_refusal_never_exceeds_its_bound(message):
    document = error_document({"reason": str(Reason.CONFIG_INVALID), "message": message, "retryable": False})

    encoded = encode(document)
    assert len(encoded) <= LIMIT_BYTES
    assert json.loads(encoded)["error"]["message"].startswith(
        encode({"": message}).decode()[5:6].strip('"\\') or ""
    )


@pytest.mark.parametrize(
    ("arguments", "tripped"),
    [
        (["inspect", "--source=pvc://claim/m"], "sluicegate_store.cli.inspect"),
        (["serve", "--pointer=pointer.json", "--port=0"], "sluicegate_store.sidecar.read_pointer"),
    ],
    ids=["inspect", "serve"],
)
def test_what_nobody_has_thought_of_ends_in_a_reason_too(tmp_path, monkeypatch, capsys, arguments, tripped):
    def trip(*_: object) -> None:
        raise ValueError("a secret of the input")

    a_model().write(tmp_path / "claim" / "m")
    (tmp_path / "pointer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tripped, trip)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    room = "--scratch=." if "inspect" in arguments else "--root=models"

    code = cli.main([*arguments, room, "--sources=.", "--termination-log=log"])

    error = json.loads((tmp_path / "log").read_text())["error"]
    assert (code, error["reason"], error["retryable"]) == (1, "StoreFailed", True)
    assert "ValueError" in error["message"]
    assert "secret" not in error["message"]
    assert json.loads(capsys.readouterr().out)["error"] == error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def started(tmp_path: Path, pointer: object, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`serve` as a process that outlives neither the test nor a minute."""
    path = tmp_path / "pointer.json"
    path.write_text(pointer if isinstance(pointer, str) else json.dumps(pointer))
    process = await asyncio.create_subprocess_exec(
        *command(
            "serve",
            "--pointer",
            str(path),
            "--root",
            str(tmp_path / "models"),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--sources",
            str(tmp_path),
            "--termination-log",
            str(tmp_path / "termination-log"),
        ),
        env=environment(tmp_path),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(port: int, until: Any) -> dict[str, Any]:
    """The first answer of /ready that satisfies `until`."""
    deadline = time.monotonic() + 30
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                async with session.get(f"http://127.0.0.1:{port}/ready") as answer:
                    body = {"status": answer.status, **await answer.json()}
            except aiohttp.ClientConnectionError:
                body = {}
            if until(body):
                return body
            await asyncio.sleep(0.02)
    raise AssertionError("no such answer in 30 s")


async def test_serve_fills_the_store_stays_and_ends_at_once_on_sigterm(tmp_path):
    a_model(1).write(tmp_path / "claim" / "m")
    a_model(2).write(tmp_path / "claim" / "d")
    digest, draft = (look(tmp_path, f"pvc://claim/{name}").manifest.digest for name in "md")
    pointer = {
        "version": "v1",
        "digest": digest,
        "source": {"uri": "pvc://claim/m"},
        "draft": {"version": "d1", "digest": draft, "source": {"uri": "pvc://claim/d"}},
    }
    port = free_port()
    async with started(tmp_path, pointer, port) as process:
        body = await ready(port, lambda body: body.get("status") == 200)

        assert (body["ready"], body["phase"], body["error"]) == (True, "Ready", None)
        held = {path.name for path in (tmp_path / "models" / "snapshots").iterdir()}
        assert held == {digest[7:], draft[7:]}
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert time.monotonic() - began < 3


async def test_serve_ends_with_the_reason_when_waiting_cannot_help(tmp_path):
    a_model(1).write(tmp_path / "claim" / "m")
    pointer = {"version": "v1", "digest": f"sha256:{'0' * 64}", "source": {"uri": "pvc://claim/m"}}

    async with started(tmp_path, pointer, free_port()) as process:
        assert await process.wait() == 1
    left = json.loads((tmp_path / "termination-log").read_text())
    assert left["error"]["reason"] == "DigestMismatch"


@pytest.mark.parametrize(
    "pointer", ["{", "[]", "{}", '{"version":"v","digest":"sha256:1","source":{"uri":"x"}}']
)
async def test_serve_refuses_a_pointer_that_is_none(tmp_path, pointer):
    async with started(tmp_path, pointer, free_port()) as process:
        assert await process.wait() == 1
    assert json.loads((tmp_path / "termination-log").read_text())["error"]["reason"] == "ConfigInvalid"
