"""kubectl finds the command line as its plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from e2e.cluster import binary
from e2e.cluster.progress import Progress


def test_kubectl_sluice_is_the_command_line() -> None:
    kube = binary.built(Progress()) / "kube"
    scripts = Path(sys.executable).parent

    done = subprocess.run(
        [kube, "kubectl", "sluice", "status", "--help"],
        env={**os.environ, "PATH": os.pathsep.join((str(scripts), os.environ.get("PATH", "")))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Show what serves, what shall serve, and the pods behind it." in done.stdout
