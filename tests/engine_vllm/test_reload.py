"""Reloads inside the real vLLM: the same weights, others, bad ones, and under load.

In fp32 vLLM's answers on CPU do not depend on what else is computed beside them, so each answer is held to
what its version says alone. A pod takes a minute to start, so each test makes the most of two.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.pod import Pod, events
from tests.engine.store import FakeStore
from tests.engine.test_reload import order
from tests.engine_vllm.conftest import SMALL, START_SECONDS, Start
from tests.engine_vllm.tiny_llama import write_model

from sluicegate_engine.gate_settings import VERSION_HEADER

INSTRUMENTED = "tests.engine_vllm.instrumented.InstrumentedExtension"
# The first is longer than two blocks of the prefix cache.
PROMPTS = ("The quick brown fox jumps over the lazy dog. " * 7, "Hello", "What is the capital of France?")
TOKENS = 24
STREAMS = 8
RELOAD_SECONDS = 60


@pytest.fixture
async def store() -> AsyncIterator[FakeStore]:
    fake = FakeStore()
    async with fake.listening():
        yield fake


async def say(pod: Pod, prompt: str, tokens: int = TOKENS) -> tuple[str, str]:
    """The version that an answer names, and its text."""
    answer = await pod.complete(prompt, tokens, temperature=0)
    choice = (await answer.json())["choices"][0]
    assert choice["finish_reason"] == "length"
    return answer.headers[VERSION_HEADER], choice["text"]


async def texts(pod: Pod) -> list[str]:
    return [(await say(pod, prompt))[1] for prompt in PROMPTS]


async def record(pod: Pod) -> dict[str, object]:
    """A golden prompt: how likely the version that serves finds three tokens after a prompt."""
    prompt, tokens = [40, 41, 42], [70, 71, 72]
    answer = await pod.complete([*prompt, *tokens], 1, temperature=0, prompt_logprobs=0)
    told = (await answer.json())["choices"][0]["prompt_logprobs"][-len(tokens) :]
    likely = [at[str(token)]["logprob"] for at, token in zip(told, tokens, strict=True)]
    return {
        "name": "three tokens",
        "prompt": prompt,
        "tokens": tokens,
        "logProbabilities": likely,
        "tolerance": 0.001,
    }


def checksums(pod: Pod) -> list[str]:
    """What each rank told at the beginning of the last reload."""
    files = sorted(pod.directory.glob("checksums-*"))
    return [file.read_text().split()[-1] for file in files]


async def reload(pod: Pod, model: Path, **more: Any) -> dict[str, Any]:
    """Order it with the next sequence and wait for its end."""
    sequence = (await pod.status())["sequence"] + 1
    wanted = order(model, sequence=sequence, **more)
    status, said = await pod.order("/reload", wanted)
    assert status == 202, said
    async with asyncio.timeout(RELOAD_SECONDS):
        while True:
            told: dict[str, Any] = (await pod.status())["reload"]
            if told["outcome"] is not None:
                return told
            await asyncio.sleep(0.05)


def truncate(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100_000])


def list_a_missing_shard(model: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(model / "model.safetensors")
        change(tensors)
        save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})

    return spoil


def put_nan(tensors: dict[str, Any]) -> None:
    tensors["model.layers.3.mlp.down_proj.weight"][7, 11] = float("nan")


def narrow(tensors: dict[str, Any]) -> None:
    name = "model.layers.3.mlp.down_proj.weight"
    tensors[name] = tensors[name][:, :-64].contiguous()


def halve(tensors: dict[str, Any]) -> None:
    for name in tensors:
        tensors[name] = tensors[name].bfloat16()


def edit(name: str, **fields: object) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        content = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(content | fields))

    return spoil


RESTART = "RestartRequired"
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a path that does not exist": (shutil.rmtree, "SnapshotMissing", ""),
    "a missing shard": (list_a_missing_shard, "CheckpointIncomplete", "model-00002-of-00002"),
    "a truncated shard": (truncate, "CheckpointCorrupt", "model.safetensors"),
    "another shape": (rewrite(narrow), RESTART, "TensorsDiffer"),
    "a tensor absent": (rewrite(lambda t: t.pop("model.norm.weight")), RESTART, "TensorsDiffer"),
    "half of a fused one absent": (
        rewrite(lambda t: t.pop("model.layers.1.self_attn.k_proj.weight")),
        RESTART,
        "TensorsDiffer",
    ),
    "NaN": (rewrite(put_nan), "NotFinite", "model.layers.3.mlp.down_proj.weight"),
    "another dtype": (rewrite(halve), RESTART, "TensorsDiffer"),
    "another hidden size": (edit("config.json", hidden_size=512), RESTART, "ConfigDiffers"),
    "another architecture": (
        edit("config.json", architectures=["MistralForCausalLM"]),
        RESTART,
        "ArchitectureDiffers",
    ),
    "another tokenizer": (edit("tokenizer.json", normalizer={"type": "NFC"}), RESTART, "TokenizerDiffers"),
}


@pytest.mark.parametrize("ranks", [1, 2])
async def test_weights_are_changed_whole_or_not_at_all(
    start: Start, tmp_path: Path, store: FakeStore, ranks: int
) -> None:
    first, second = (write_model(tmp_path / f"model-{seed}", seed) for seed in (1, 2))
    flags = (*SMALL, f"--tensor-parallel-size={ranks}")
    options = {
        "store-url": store.url,
        "worker-extension": INSTRUMENTED,
        "max_concurrent": STREAMS,
        "max_queued": 4 * STREAMS,
    }
    fresh = await start(*flags, weights=second, **options)
    store.models = fresh.directory / "models"
    await fresh.until("Serving", START_SECONDS)
    then, golden = await texts(fresh), await record(fresh)
    await reload(fresh, tmp_path / "absent")
    wanted = checksums(fresh)
    await fresh.close()

    pod = await start(*flags, weights=first, **options)
    store.models = pod.directory / "models"
    await pod.until("Serving", START_SECONDS)
    now, outdated = await texts(pod), await record(pod)
    assert len({*now, *then}) == 2 * len(PROMPTS), "answers differ by prompt and by version"

    assert (await reload(pod, write_model(tmp_path / "same", 1)))["outcome"] == "Committed"
    before = checksums(pod)
    assert (await texts(pod), len(before)) == (now, ranks)
    for name, (spoil, reason, words) in BAD.items():
        bad = write_model(tmp_path / name.replace(" ", "-"), 2)
        spoil(bad)
        told = await reload(pod, bad)
        assert (name, told["outcome"], told["reason"]) == (name, "Refused", reason), told
        assert words in told["message"]
        assert (await texts(pod), checksums(pod)) == (now, before), name

    (pod.directory / "fault").write_text(str(ranks - 1))
    assert (await reload(pod, second))["reason"] == "WorkerFailed"
    (pod.directory / "fault").unlink()
    told = await reload(pod, second, golden=[golden, outdated])
    assert (told["outcome"], told["reason"]) == ("RolledBack", "GoldenPromptsFailed")
    assert (await texts(pod), checksums(pod)) == (now, before)

    await reload(pod, second, mode="Stage")
    rewrite(put_nan)(second)
    told = await reload(pod, second, golden=[golden])
    assert told["outcome"] == "Committed", told
    assert await texts(pod) == then
    assert (await reload(pod, tmp_path / "absent"))["outcome"] == "Refused"
    assert checksums(pod) == wanted


@pytest.mark.parametrize(("ranks", "holder"), [(1, "VLLM::Worker"), (2, "VLLM::Worker_TP0")])
async def test_back_and_forth_under_streams_none_fails_and_memory_is_flat(
    start: Start, tmp_path: Path, store: FakeStore, ranks: int, holder: str
) -> None:
    models = [write_model(tmp_path / f"model-{seed}", seed) for seed in (1, 2)]
    flags = (*SMALL, f"--tensor-parallel-size={ranks}")
    pod = await start(*flags, weights=models[0], **{"store-url": store.url}, max_concurrent=8, max_queued=64)
    store.models = pod.directory / "models"
    await pod.until("Serving", START_SECONDS)
    alone: dict[str, list[str]] = {}
    for model in (models[1], models[0]):
        assert (await reload(pod, model))["outcome"] == "Committed"
        alone[model.name] = [(await say(pod, prompt, 200))[1] for prompt in PROMPTS]

    over, served = asyncio.Event(), [0] * STREAMS
    streams = [asyncio.create_task(_ask(pod, n, alone, over, served)) for n in range(STREAMS)]
    sizes = []
    for n in range(20):
        told = await reload(pod, models[(n + 1) % 2])
        assert told["outcome"] == "Committed", told
        sizes.append(_resident(pod, holder))
    over.set()
    await asyncio.gather(*streams)
    assert min(served) > 1
    assert sizes[-1] < sizes[4] * 1.05, sizes


async def _ask(pod: Pod, n: int, alone: dict[str, list[str]], over: asyncio.Event, served: list[int]) -> None:
    """One client after another, each of whose answers is its version's."""
    while not over.is_set():
        place = (n + served[n]) % len(PROMPTS)
        answer = await pod.complete(PROMPTS[place], 200, temperature=0, stream=True)
        assert answer.status == 200, await answer.text()
        told = events(await answer.text())
        text = "".join(event["choices"][0]["text"] for event in told)
        assert told[-1]["choices"][0]["finish_reason"] == "length"
        assert text == alone[answer.headers[VERSION_HEADER]][place]
        served[n] += 1


def _resident(pod: Pod, holder: str) -> int:
    """Pages that the process with these weights holds."""
    return int(Path(f"/proc/{pod.engine_pid(holder)}/statm").read_text().split()[1])
