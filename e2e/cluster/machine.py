"""What the machine must bring: root, packages, disk space. Installs what it can, names the rest."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.command import ExpectedError
from e2e.cluster.layout import cache_directory
from e2e.cluster.progress import Progress

CLUSTER_TOOLS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "docker-registry": "docker-registry",
}
# For the build, where Go looks for certificates there, and for the certificates of a control plane.
KUBERNETES_TOOLS = {
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "openssl": "openssl",
}
IMAGE_TOOLS = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
}


class MachineError(ExpectedError):
    """The machine lacks something that can't be installed from here."""


def require_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise MachineError(f"{purpose} needs root (namespaces, mounts, bridges): run it with sudo")


@dataclass(frozen=True)
class Need:
    """Disk space: `gib` GiB below `directory`, and what a person can do where it isn't there."""

    purpose: str
    directory: Path
    gib: float
    remedy: str

    @property
    def existing(self) -> Path:
        return next(path for path in (self.directory, *self.directory.parents) if path.exists())


def cache_need(purpose: str, gib: float) -> Need:
    remedy = "`make clean-cache` drops what earlier builds left, XDG_CACHE_HOME moves it to another disk"
    return Need(purpose, cache_directory(), gib, remedy)


def require_space(*needs: Need) -> None:
    """Fail early when a file system has less left than all that is to come to it."""
    by_device: dict[int, list[Need]] = defaultdict(list)
    for need in needs:
        by_device[need.existing.stat().st_dev].append(need)
    for together in by_device.values():
        free = shutil.disk_usage(together[0].existing).free / 2**30
        wanted = sum(need.gib for need in together)
        if free < wanted:
            each = ", ".join(f"{need.gib:.0f} below {need.directory} for {need.purpose}" for need in together)
            remedies = "; ".join(dict.fromkeys(need.remedy for need in together))
            raise MachineError(f"{wanted:.0f} GiB are needed ({each}), {free:.1f} are free: {remedies}")


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
