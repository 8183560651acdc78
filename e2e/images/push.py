"""Pushes an image into the registry's store: `python -m e2e.images.push REFERENCE`, in a network of its own.

The registry of a push lives as long as the push, at the address that the reference names; a fresh network
namespace has that address free, and no cluster needs to run. (buildah remembers by address which layers a
registry has: always the same address, so that it compresses each layer once.)
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from e2e.cluster.components import REGISTRY_CONFIGURATION, REGISTRY_PORT, registry_environment
from e2e.images.builder import buildah


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def main(reference: str) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    environment = {**os.environ, **registry_environment(REGISTRY_PORT)}
    registry = subprocess.Popen(
        ["docker-registry", "serve", str(REGISTRY_CONFIGURATION)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # it calls every layer that it doesn't have yet an error
    )
    while not _accepts(REGISTRY_PORT):
        if registry.poll() is not None:
            return 1
        time.sleep(0.05)
    # zstd at its lowest level: of what this buildah can write, the fastest to write and to unpack.
    options = ["--tls-verify=false", "--format=oci", "--compression-format=zstd", "--compression-level=1"]
    return subprocess.run(buildah("push", *options, reference), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
