"""The supervisor's side: all ranks of the engine are told the same, and one that fails fails them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sluicegate_engine.reload.capability import EngineFacts
from sluicegate_engine.reload.engine_orders import PAUSE, QUIET, RESUME
from sluicegate_engine.reload.refusal import RefusedError

Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
_POLL_SECONDS = 0.1


class Ranks:
    """`call` carries an order out and returns its answer; see engine_orders.

    Every method raises RefusedError in a rank's own words, and ConnectionError where the engine is lost.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def describe(self) -> EngineFacts:
        """What the engine is. Its ranks differ in nothing that counts here but the memory they have taken."""
        told = await self._tell("describe")
        facts = {field.name: told[0][field.name] for field in fields(EngineFacts)}
        return EngineFacts(**facts | {"host_bytes": sum(each["host_bytes"] for each in told)})

    async def stage(self, directory: Path) -> None:
        """Lay the weights of this folder ready on every rank. Ends when they are, or one has failed."""
        await self._tell("stage", directory=str(directory))
        # Ranks can only be asked.
        while not all(each["staged"] for each in await self._tell("staging")):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    async def checksums(self, *, staged: bool) -> tuple[str, ...]:
        """A digest a rank: of the weights that serve, or of those that don't."""
        return tuple(each["digest"] for each in await self._tell("checksum", staged=staged))

    async def switch(self) -> None:
        await self._tell("switch")

    async def restore(self) -> None:
        await self._tell("restore")

    async def release(self) -> None:
        await self._tell("release")

    async def quiet(self) -> None:
        """Wait until no client's request is in the engine. It lasts while the gate lets none pass."""
        await self._call(QUIET, {})

    async def pause(self) -> None:
        """Abort what is left in the engine, empty its caches, and let it begin nothing."""
        await self._call(PAUSE, {})

    async def resume(self) -> None:
        await self._call(RESUME, {})

    async def _tell(self, name: str, **arguments: Any) -> list[Mapping[str, Any]]:
        answers: list[Mapping[str, Any]] = await self._call(name, arguments)
        for rank, answer in enumerate(answers):
            if not answer["ok"]:
                raise RefusedError(answer["reason"], f"{answer['message']} (rank {rank})")
        return answers
