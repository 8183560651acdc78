"""A process that takes orphans in as PID 1 does, and collects them. Exits 0 where none is left over.

A process of its own, because the reaper collects every child of the process it is in.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal

from sluicegate_engine.reaper import Reaper

PR_SET_CHILD_SUBREAPER = 36


def start(command: str) -> int:
    # Not subprocess: a Popen that is thrown away waits for its child itself.
    return os.posix_spawnp("sh", ["sh", "-c", command], os.environ)


async def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    reaper = Reaper()
    # The shell ends at once and leaves a child that ends later, for us to collect.
    left, killed = reaper.adopt(start("sleep 0.2 & exit 3")), reaper.adopt(start("kill -9 $$"))
    assert await left == 3
    assert await killed == -signal.SIGKILL
    async with asyncio.timeout(5):
        while True:
            if not has_children():
                return
            await asyncio.sleep(0.02)


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(main())
