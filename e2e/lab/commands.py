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


def environment(kubectl: Path, kubeconfig: Path) -> dict[str, str]:
    """Of a command that finds kubectl and the plugin, and knows which cluster is meant."""
    folders = (str(kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"])
    return {**os.environ, "PATH": os.pathsep.join(folders), "KUBECONFIG": str(kubeconfig)}


async def run(cluster: Cluster, *command: str) -> Ended:
    """Run a command on the cluster until it ends."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment(cluster.layout.kubectl, cluster.kubeconfig),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    log, _ = await process.communicate()
    return Ended(process.returncode or 0, log.decode())


async def rollout_wait(cluster: Cluster, namespace: str, name: str, seconds: int) -> Ended:
    """`kubectl sluice rollout wait`, for as long at most."""
    where = ("--namespace", namespace, f"--timeout={seconds}s")
    return await run(cluster, "kubectl", "sluice", "rollout", "wait", name, *where)
