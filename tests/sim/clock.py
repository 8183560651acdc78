"""The time in a simulated cluster."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Virtual seconds since the event loop began."""
    return asyncio.get_running_loop().time()
