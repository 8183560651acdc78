"""A stand-in for vLLM's server: a second instead of a minute to start, and it fails to order.

It loads the real gate the way vLLM does (--middleware, settings by environment) and has processes of its own
with vLLM's titles: an engine core and, where it is told to be tensor-parallel, a worker for each rank.
tests/engine/contract.py holds it to what the real vLLM does.

FAKE_VLLM in the environment picks a misbehaviour: crash-at-start, hang-at-start, abort-warm-up,
ignore-sigterm, write-secrets, fork-a-helper, or one of fake_engine's.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import Counter, Gauge, generate_latest
from tests.engine.asgi_host import serve
from tests.engine.counts import leave_counts
from tests.engine.fake_engine import FakeEngine

from sluicegate_engine.asgi import Receive, Scope, Send
from sluicegate_engine.stacks import register

SECONDS_PER_TOKEN = 0.01
PREFILL = "prefill "
"""Begins a prompt that takes as many chunks as the number after it says, and as long for each as a token."""
GENERATED = Counter("vllm:generation_tokens", "Tokens that were generated.")
PREFILLED = Counter("vllm:prompt_tokens", "Tokens of prompts that are through.")
CACHE = Gauge("vllm:kv_cache_usage_perc", "Share of the cache's blocks that are in use.")
Gauge("vllm:num_requests_running", "Requests in the batch.")


class FakeVllm:
    """The application: completions that take their time, whole or as a stream."""

    def __init__(self, core: subprocess.Popen[bytes], engine: FakeEngine, misbehaviour: str) -> None:
        self.state = SimpleNamespace(engine_client=engine)
        self._engine = engine
        self._core = core
        self._misbehaviour = misbehaviour
        self.aborting = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        elif scope["path"] == "/v1/completions" and scope["method"] == "POST":
            await self._complete(json.loads((await receive())["body"]), scope, receive, send)
        elif scope["path"] == "/version":
            await _answer(send, b'{"version":"0.32.0"}')
        elif scope["path"] == "/metrics":
            await _answer(send, generate_latest(), kind=b"text/plain")
        else:
            await _answer(send, json.dumps({"path": scope["path"]}).encode())

    async def _complete(self, request: dict[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        """As vLLM and Starlette do: a listener beside the handler, then another beside the stream."""
        if request["prompt"] == "deadlock":
            self._engine.running.clear()
        if request["prompt"] == "crash the engine core":
            self._core.kill()
        if request["prompt"] == "crash the server":
            os.kill(os.getpid(), signal.SIGSEGV)
        if request["prompt"] == "fail":
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._misbehaviour == "write-secrets":
            sys.stderr.write(f"ERROR 11-23 02:52:56 [serving.py:1] prompt was {request['prompt']}\n")
        if request.get("stream"):
            await _until_gone(receive, asyncio.sleep(SECONDS_PER_TOKEN))
            await _until_gone(receive, self._stream(request, scope, send))
        else:
            await _until_gone(receive, self._answer_whole(request, scope, send))

    async def _answer_whole(self, request: dict[str, Any], scope: Scope, send: Send) -> None:
        letter, aborts = self._engine.letter(str(request["prompt"])), self._engine.aborts
        await self._prefill(request["prompt"])
        reason = await self._generate(request["max_tokens"], aborts)
        if self._misbehaviour == "abort-warm-up" or self._engine.mute:
            reason = "abort"
        choice: dict[str, Any] = {"text": letter * request["max_tokens"], "finish_reason": reason}
        if "prompt_logprobs" in request:
            likely = {"logprob": -ord(letter) / 100}
            choice["prompt_logprobs"] = [None, *({str(t): likely} for t in request["prompt"][1:])]
        status = 500 if reason == "dead" else 200
        tokens = request["max_tokens"]
        usage = {"prompt_tokens": 3, "total_tokens": 3 + tokens, "completion_tokens": tokens}
        body = {"choices": [choice], "usage": usage}
        leave_counts(scope, 3, tokens)
        await _answer(send, json.dumps(body, separators=(",", ":")).encode(), status)

    async def _stream(self, request: dict[str, Any], scope: Scope, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        letter, aborts = self._engine.letter(str(request["prompt"])), self._engine.aborts
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for n in range(request["max_tokens"]):
            reason = await self._generate(1, aborts)
            if reason == "dead":
                await _event(send, b'{"error": {"message": "EngineCore encountered an issue", "code": 500}}')
                break
            last = reason == "abort" or n == request["max_tokens"] - 1
            choice = {"text": letter, "finish_reason": reason if last else None}
            await _event(send, json.dumps({"choices": [choice]}, separators=(",", ":")).encode())
            if last:
                leave_counts(scope, 3, n + 1)
                break
        await _event(send, b"[DONE]")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _prefill(self, prompt: object) -> None:
        text = str(prompt)
        chunks = int(text.removeprefix(PREFILL)) if text.startswith(PREFILL) else 0
        for chunk in range(chunks):
            await self._step()
            CACHE.set((chunk + 1) / chunks)
        PREFILLED.inc()

    async def _step(self) -> None:
        """The engine core's share, which takes for ever while that is stopped."""
        computed = False
        while not computed:
            await asyncio.sleep(SECONDS_PER_TOKEN)
            computed = not _is_stopped(self._core.pid)

    async def _generate(self, tokens: int, aborts: int) -> str:
        for _ in range(tokens):
            await self._step()
            if self._engine.aborts > aborts:
                return "abort"
            await self._engine.running.wait()
            if self._core.poll() is not None:
                self._engine.errored = True
                return "dead"
            if self.aborting.is_set():
                return "abort"
            GENERATED.inc()
        return "length"


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


async def _until_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work until its end or the client's going; whichever is left over is cancelled."""
    tasks = (asyncio.create_task(work), asyncio.ensure_future(receive()))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    if tasks[0].done():
        tasks[0].result()


async def _answer(send: Send, body: bytes, status: int = 200, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _event(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})


LIVE = "import time\nfrom sluicegate_engine.stacks import register\nregister()\ntime.sleep(3600)"
# Between fork and exec a helper goes by its parent's title; under load that may take a second.
FORK_A_HELPER = """
import os, sys, time
if not os.fork():
    time.sleep(1.5)
    os._exit(0)
print("forked", flush=True)
os.wait()
print("the helper has ended", file=sys.stderr, flush=True)
"""


def start_core(misbehaviour: str) -> subprocess.Popen[bytes]:
    command = ["VLLM::EngineCore", "-c"]
    if misbehaviour != "fork-a-helper":
        return subprocess.Popen([*command, LIVE], executable=sys.executable)
    core = subprocess.Popen(
        [*command, FORK_A_HELPER + LIVE], executable=sys.executable, stdout=subprocess.PIPE
    )
    assert core.stdout is not None
    core.stdout.readline()
    return core


def start_ranks(count: int) -> list[subprocess.Popen[bytes]]:
    titles = [f"VLLM::Worker_TP{rank}" for rank in range(count)] if count > 1 else []
    return [subprocess.Popen([title, "-c", LIVE], executable=sys.executable) for title in titles]


async def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--model", "--served-model-name", "--host", "--middleware", "--worker-extension-cls"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    given, _ = parser.parse_known_args()
    register()
    misbehaviour = os.environ.get("FAKE_VLLM", "")
    if misbehaviour == "crash-at-start":
        raise ValueError("head size 9 is not supported")
    processes = [start_core(misbehaviour), *start_ranks(given.tensor_parallel_size)]
    core = processes[0]
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, (lambda: None) if misbehaviour == "ignore-sigterm" else end.set)
    if misbehaviour == "hang-at-start":
        await end.wait()
        core.kill()
        return
    module, _, name = given.middleware.rpartition(".")
    app = FakeVllm(core, FakeEngine(Path(given.model), misbehaviour), misbehaviour)
    gate = getattr(importlib.import_module(module), name)(app)
    async with serve(gate, app, given.host, given.port):
        await end.wait()
        app.aborting.set()
        await asyncio.sleep(SECONDS_PER_TOKEN * 5)
    for process in processes:
        process.kill()


if __name__ == "__main__":
    asyncio.run(main())
