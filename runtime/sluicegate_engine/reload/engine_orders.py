"""The gate's side of a reload: carries the supervisor's orders to the engine, by vLLM's own client.

vLLM's development routes could do the same for anybody; this takes orders from the supervisor's socket alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUIET = "quiet"
"""Answered by the gate itself, once none of its requests is in flight."""
PAUSE = "pause"
RESUME = "resume"
RANK_ORDERS = frozenset({"describe", "stage", "staging", "checksum", "switch", "restore", "release"})
"""Methods of reload.worker.ReloadExtension, without their prefix."""


class EngineOrders:
    """Orders for the engine of the application that is attached."""

    def __init__(self) -> None:
        self._application: Any = None

    def attach(self, application: Any) -> None:
        """vLLM puts the engine's client into the state of its application."""
        self._application = application

    @property
    def engine_is_dead(self) -> bool:
        """Whether vLLM has given its engine up: it fails whoever comes then."""
        return self._application is not None and bool(self._application.state.engine_client.errored)

    async def carry_out(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """What the engine answers: of an order to its ranks, one answer each. Raises whatever it raises."""
        engine = self._application.state.engine_client
        if name == PAUSE:
            # What is left in the engine ends as aborted, and no block of its caches outlives its weights. It
            # is pause_generation without its last 20 ms, a sleep for late outputs: the gate waits for those.
            await engine.renderer.clear_mm_cache_async()
            return await engine.engine_core.pause_scheduler_async(mode="abort", clear_cache=True)
        if name == RESUME:
            return await engine.resume_generation()
        if name not in RANK_ORDERS:
            raise ValueError(f"no such order: {name}")
        # Without a timeout: an answer that nobody waits for would be taken for the next one's.
        return await engine.collective_rpc(f"sluicegate_{name}", kwargs=dict(arguments))
