"""Tests with the real vLLM on CPU: python -m pytest tests/engine_vllm, where vLLM is installed.

Elsewhere nothing here is collected. A pod takes a minute to start, so each test makes the most of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.engine.pod import Pod, start_pod
from tests.engine_vllm.tiny_llama import write_model

collect_ignore_glob = [] if find_spec("vllm") else ["*"]

MODULE = "vllm.entrypoints.openai.api_server"
SMALL = ("--kv-cache-memory-bytes=67108864", "--max-model-len=1024", "--dtype=float32", "--enforce-eager")
START_SECONDS = 300

Start = Callable[..., Awaitable[Pod]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose answers differ by prompt."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny", seed=1)


@pytest.fixture
async def start(tmp_path: Path, model: Path) -> AsyncIterator[Start]:
    pods: list[Pod] = []

    async def begin(*flags: str, draft: Path | None = None, weights: Path = model, **options: object) -> Pod:
        directory = tmp_path / str(len(pods))
        directory.mkdir()
        pod = await start_pod(
            directory, weights, module=MODULE, flags=flags or SMALL, draft=draft, options=options
        )
        pods.append(pod)
        return pod

    yield begin
    for pod in pods:
        await pod.close()
