"""Runs the tests that need vLLM where it is: in the engine image, on the cluster's container runtime.

`python -m e2e.engine --image REFERENCE -- PYTEST-ARGUMENTS`
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.cluster import Cluster
from e2e.cluster.command import exit_with, run

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = CHECKOUT / ".cluster" / "engine-tests"
LOCK = CHECKOUT / "requirements" / "engine-test.txt"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.engine", description=__doc__)
    parser.add_argument("--image", required=True, help="reference of the engine image")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- ARGUMENTS")
    options = parser.parse_args()
    arguments = options.arguments[1:] if options.arguments[:1] == ["--"] else options.arguments
    cluster = Cluster()
    _install_packages()
    _pull(cluster, options.image)
    return subprocess.run(_run(cluster, options.image, arguments), check=False).returncode


def _install_packages() -> None:
    """pytest, beside the image and not in it."""
    install = ["uv", "pip", "install", "--quiet", "--require-hashes", "--python-version=3.11"]
    run([*install, f"--target={PACKAGES}", f"--requirement={LOCK}"])


def _pull(cluster: Cluster, image: str) -> None:
    if not run(_ctr(cluster, "images", "list", "-q", f"name=={image}")).strip():
        run(cluster.inside(_ctr(cluster, "images", "pull", "--plain-http", image)))


def _run(cluster: Cluster, image: str, arguments: Sequence[str]) -> list[str]:
    paths = ("/src", "/src/operator", "/src/runtime", "/packages")
    pytest = ["python", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    mounts = {CHECKOUT: "/src", PACKAGES: "/packages"}
    return _ctr(
        cluster,
        "run",
        "--rm",
        "--net-host",
        # vLLM's processes exchange tensors there, and want more than the 64 MiB of a plain container.
        "--mount=type=tmpfs,src=tmpfs,dst=/dev/shm,options=nosuid:nodev:size=2g",
        f"--fifo-dir={cluster.layout.state / 'fifo'}",
        *(f"--mount=type=bind,src={source},dst={place},options=rbind:ro" for source, place in mounts.items()),
        f"--env=PYTHONPATH={':'.join(paths)}",
        "--env=PYTHONDONTWRITEBYTECODE=1",
        "--env=HOME=/tmp",
        "--cwd=/src",
        image,
        f"engine-tests-{os.getpid()}",
        *pytest,
    )


def _ctr(cluster: Cluster, *command: str) -> list[str]:
    return ["ctr", f"--address={cluster.layout.containerd_socket}", "--namespace=k8s.io", *command]


if __name__ == "__main__":
    exit_with(main)
