"""What the machine must bring: root, Debian packages, disk space. Installs what it can, names the rest."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from e2e.cluster.command import ExpectedError
from e2e.cluster.progress import Progress

CLUSTER_TOOLS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "openssl": "openssl",
    "docker-registry": "docker-registry",
}
IMAGE_TOOLS = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "docker-registry": "docker-registry",
}


class MachineError(ExpectedError):
    """The machine lacks something that can't be installed from here."""


def require_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise MachineError(f"{purpose} needs root (namespaces, mounts, bridges): run it with sudo")


def require_space(directory: Path, gib: float, purpose: str) -> None:
    """Fail early when the file system below `directory` has less than `gib` GiB left."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < gib:
        raise MachineError(
            f"{purpose} needs about {gib:.0f} GiB below {existing}, {free:.1f} GiB are free: "
            "free some space there, or point XDG_CACHE_HOME at a larger disk"
        )


def _is_there(tool: str) -> bool:
    return Path(tool).exists() if tool.startswith("/") else shutil.which(tool, path=search_path()) is not None


def search_path() -> str:
    """PATH with the system directories that a plain user's PATH lacks."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def install_packages(tools: dict[str, str], progress: Progress) -> None:
    """Install the Debian packages of the tools (name or path → package) that are missing."""
    missing = sorted({package for tool, package in tools.items() if not _is_there(tool)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise MachineError(f"these Debian packages are missing and there is no apt-get: {' '.join(missing)}")
    require_root("installing packages")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"installing packages: {' '.join(missing)}"):
        for command in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise MachineError(f"apt-get {command[0]} failed:\n{done.stdout[-900:]}{done.stderr[-900:]}")


def require_venv(progress: Progress) -> None:
    """Make `python3 -m venv` work: Debian ships it apart from Python."""
    if importlib.util.find_spec("ensurepip") is None:
        install_packages({"": "python3-venv"}, progress)
