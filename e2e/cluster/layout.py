"""Where a checkout's cluster keeps its files.

Three places, each with its own life: the state lives as long as the cluster and has a short path
(Unix sockets allow 108 bytes), the cache outlives clusters and is shared by all checkouts of a user,
and `.cluster/` in the checkout holds only what a person uses: kubeconfig and kubectl.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of one checkout's cluster."""

    checkout: Path
    states: Path = Path("/var/tmp/sluicegate")
    """Of all checkouts on the machine; short, and not emptied at a restart."""

    @classmethod
    def here(cls) -> Layout:
        """The checkout that this file belongs to."""
        return cls(Path(__file__).resolve().parents[2])

    @property
    def id(self) -> str:
        """Eight hex digits that tell this checkout's cluster from another's."""
        return hashlib.sha256(str(self.checkout).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        return self.states / self.id

    @property
    def lock(self) -> Path:
        return self.states / f"{self.id}.lock"

    @property
    def control_socket(self) -> Path:
        return self.state / "control.sock"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit.log"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def cgroup(self) -> str:
        """The cgroup below which kubelet puts all pods, in every hierarchy."""
        return f"sluicegate-{self.id}"

    @property
    def user_files(self) -> Path:
        return self.checkout / ".cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.user_files / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        return self.user_files / "bin" / "kubectl"


def cache_directory() -> Path:
    """The cache that all checkouts of this user share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sluicegate"
