"""What tests of reloads share: a pod that can do them, the orders, and what is seen of them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

from tests.engine.pod import Pod, start_pod
from tests.engine.store import FakeStore

from sluicegate_engine.gate_settings import VERSION_HEADER


def start_in(
    place: Path,
    model: Path,
    store: FakeStore,
    misbehaviour: str = "",
    flags: Sequence[str] = (),
    **options: object,
) -> Awaitable[Pod]:
    """A pod around the stand-in of vLLM, whose files are here."""
    place.mkdir()
    store.models = place / "models"
    return start_pod(
        place,
        model,
        module="tests.engine.fake_vllm",
        flags=flags,
        environment={"FAKE_VLLM": misbehaviour},
        options={"store-url": store.url, **options},
    )


def order(model: Path, mode: str = "Switch", sequence: int = 1, **more: object) -> dict[str, Any]:
    source = {"uri": f"file://{model}"}
    return {
        "version": model.name,
        "digest": digest_of(model),
        "sequence": sequence,
        "source": source,
        "mode": mode,
        **more,
    }


def digest_of(model: Path) -> str:
    return f"sha256:{hashlib.sha256(str(model).encode()).hexdigest()}"


async def says(pod: Pod, prompt: str = "Hello") -> tuple[str, str]:
    """The version that an answer names, and the letter that it consists of."""
    answer = await pod.complete(prompt, tokens=2)
    text = (await answer.json())["choices"][0]["text"]
    return answer.headers[VERSION_HEADER], text[0]


def golden(letter: str) -> dict[str, object]:
    """An answer of two tokens, as likely as the stand-in with these weights finds it."""
    return {
        "name": "greeting",
        "prompt": [3, 5],
        "tokens": [7, 9],
        "logProbabilities": [-ord(letter) / 100] * 2,
        "tolerance": 0.004,
    }
