"""A stand-in for vLLM's engine client: two ranks whose weights are a letter, the last byte of their file.

FAKE_VLLM picks how a reload goes wrong, see `MISBEHAVIOURS`, or which of `ENDLESS` never comes to an end:
"switch-for-ever" for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

MISBEHAVIOURS = (
    "speculate",
    "fail-to-stage",
    "stage-for-ever",
    "fail-to-switch",
    "switch-wrongly",
    "mute-once-switched",
    "fail-to-restore",
)
"""All but the first are of the last rank alone."""
ENDLESS = ("pause", "switch", "checksum", "resume", "proof", "restore", "release")
"""Steps of a reload. The checksums are those after the switch; during an endless proof no token comes."""
Answer = dict[str, Any]


def letter_of(directory: Path) -> str:
    """The weights in this folder; "a" where it holds none."""
    file = directory / "model.safetensors"
    return chr(file.read_bytes()[-1]) if file.exists() else "a"


class Rank:
    """One rank: the letter that serves, the one that doesn't, and whether they changed places."""

    def __init__(self, letter: str, misbehaviour: str) -> None:
        self.serving = letter
        self.other: str | None = None
        self.switched = False
        self.misbehaviour = misbehaviour

    def describe(self) -> Answer:
        return {
            "architecture": "LlamaForCausalLM",
            "quantization": None,
            "device": "cpu",
            "dtype": "float32",
            "element_bytes": 4,
            "tensor_parallel": 2,
            "other_parallel": 1,
            "compiled": False,
            "speculation": "ngram" if self.misbehaviour == "speculate" else None,
            "adapters": False,
            "host_bytes": 0,
        }

    def stage(self, directory: str) -> Answer:
        self.other = letter_of(Path(directory))
        return {}

    def staging(self) -> Answer:
        if self.misbehaviour == "fail-to-stage":
            return {"ok": False, "reason": "NotFinite", "message": "weight holds NaN"}
        return {"staged": self.misbehaviour != "stage-for-ever"}

    def checksum(self, staged: bool) -> Answer:
        return {"digest": self.other if staged else self.serving}

    def switch(self) -> Answer:
        if self.misbehaviour == "fail-to-switch":
            return {"ok": False, "reason": "WorkerFailed", "message": "out of luck"}
        assert self.other is not None
        self.serving, self.other, self.switched = self.other, self.serving, True
        if self.misbehaviour in ("switch-wrongly", "fail-to-restore"):
            self.serving = "?"
        return {}

    def restore(self) -> Answer:
        if self.misbehaviour != "fail-to-restore" and self.switched:
            assert self.other is not None
            self.serving, self.other, self.switched = self.other, self.serving, False
        return {}

    def release(self) -> Answer:
        self.other, self.switched = None, False
        return {}


class FakeEngine:
    """What vLLM calls an EngineClient, as far as the gate uses it."""

    def __init__(self, directory: Path, misbehaviour: str) -> None:
        letter = letter_of(directory)
        of_all = misbehaviour if misbehaviour == "speculate" else ""
        self.ranks = [Rank(letter, of_all), Rank(letter, misbehaviour)]
        self.misbehaviour = misbehaviour
        self.running = asyncio.Event()
        self.running.set()
        self.aborts = 0
        self.errored = False
        self.emptied = False
        self._cache: dict[str, str] = {}

    def letter(self, prompt: str) -> str:
        """What the answer to a prompt consists of; from the cache where it has been asked before."""
        return self._cache.setdefault(prompt, self.ranks[-1].serving)

    @property
    def mute(self) -> bool:
        return self.misbehaviour == "mute-once-switched" and self.ranks[-1].switched

    @property
    def engine_core(self) -> FakeEngine:
        """The client behind the client; this stand-in is both, and the renderer."""
        return self

    renderer = engine_core

    async def clear_mm_cache_async(self) -> None:
        self.emptied = True

    async def pause_scheduler_async(self, *, mode: str, clear_cache: bool) -> None:
        assert self.emptied, "its other half is about to be"
        assert (mode, clear_cache) == ("abort", True)
        await self._stand("pause")
        self.running.clear()
        self._cache.clear()
        self.aborts += 1

    async def resume_generation(self) -> None:
        await self._stand("resume")
        if self.misbehaviour != "proof-for-ever":
            self.running.set()

    async def _stand(self, step: str) -> None:
        if self.misbehaviour == f"{step}-for-ever":
            await asyncio.Event().wait()

    async def collective_rpc(self, method: str, **options: Any) -> list[Answer]:
        assert options.keys() == {"kwargs"}, "a timeout would shift all later answers"
        name = method.removeprefix("sluicegate_")
        if name in ENDLESS and (name != "checksum" or self.ranks[-1].switched):
            await self._stand(name)
        tell: list[Callable[..., Answer]] = [getattr(rank, name) for rank in self.ranks]
        return [{"ok": True, **each(**options["kwargs"])} for each in tell]
