"""How much memory processes have."""

import os
import subprocess
import sys

from bench.reload.endurance import host_bytes

SIZE = 64 << 20


def test_memory_of_each_process_counts_as_the_kernel_has_it() -> None:
    held = f"import sys; kept = b'x' * {SIZE}; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", held]
    before = host_bytes([os.getpid()])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        together = host_bytes([os.getpid(), process.pid])
        process.communicate()

    assert SIZE <= together - before <= 2 * SIZE
