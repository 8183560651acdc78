"""What the machine must bring: root, packages, disk space. Installs what it can, names the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

_NO_SERVICE = "#!/bin/sh\n# While sluicegate installs packages: start no service.\nexit 101\n"


class MachineError(ExpectedError):
    """The machine lacks something that can't be installed from here."""


def require_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise MachineError(f"{purpose} needs root (namespaces, mounts, bridges): run it with sudo")


def require_platform(purpose: str) -> None:
    """The pinned packages of the engine image are for this one."""
    here = f"{platform.system()} on {platform.machine()}"
    if here != "Linux on x86_64":
        raise MachineError(f"{purpose} needs Linux on x86_64 (amd64), this is {here}")


def private_directory(directory: Path) -> None:
    """Make a directory for this user alone, where anybody may have made one of that name before."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise MachineError(f"{directory} is not a directory of this user: look who made it, and remove it")
    directory.chmod(0o700)


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
    with progress.step(f"installing packages: {' '.join(missing)}"), services_held_back():
        for command in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise MachineError(f"apt-get {command[0]} failed:\n{done.stdout[-900:]}{done.stderr[-900:]}")


@contextmanager
def services_held_back(policy: Path = Path("/usr/sbin/policy-rc.d")) -> Iterator[None]:
    """While packages are installed, keep their services from starting: only their programs are wanted.

    A policy that the machine has already decides by itself.
    """
    if policy.exists() and policy.read_text() != _NO_SERVICE:  # ours may be there since a killed run
        yield
        return
    policy.write_text(_NO_SERVICE)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def require_venv(progress: Progress) -> None:
    """Make `python3 -m venv` work: Debian ships it apart from Python."""
    if importlib.util.find_spec("ensurepip") is None:
        install_packages({"": "python3-venv"}, progress)
