"""Commands as a person or a pipeline runs them, with kubectl and this checkout's plugin of it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.cluster import Cluster


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    log: str


async def run(cluster: Cluster, *command: str) -> Ended:
    """Run a command on the cluster until it ends."""
    folders = (str(cluster.layout.kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"])
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PATH": os.pathsep.join(folders), "KUBECONFIG": str(cluster.kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    log, _ = await process.communicate()
    return Ended(process.returncode or 0, log.decode())
