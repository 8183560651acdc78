"""Ends an engine inside its pod, as a crash would."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from e2e.cluster.cluster import Cluster, ClusterError
from e2e.lab.lab import Lab

_KILL = """
import os, pathlib, signal
for entry in pathlib.Path('/proc').iterdir():
    if entry.name.isdigit() and b'EngineCore' in (entry / 'cmdline').read_bytes():
        os.kill(int(entry.name), signal.SIGKILL)
"""


async def kill_engine(cluster: Cluster, lab: Lab, pod: str) -> None:
    """SIGKILL to the engine's own process in a model pod."""
    kill = ("exec", "-n", lab.namespace, pod, "-c", "engine", "--", "python3", "-c", _KILL)
    # The container ends under the command, which ends with it.
    with suppress(ClusterError):
        await asyncio.to_thread(cluster.kubectl, *kill)
