"""The namespaces a cluster lives in, seen from inside: network, mounts, sysctls, cgroups.

Everything here ends with the namespaces, except the cgroup directories and the empty mount points:
`remove_leftovers` takes those away from outside.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.cluster.command import ExpectedError, run
from e2e.cluster.layout import Layout
from e2e.cluster.machine import install_packages
from e2e.cluster.progress import Progress

POD_NETWORK = "10.244.0.0/24"
NODE_ADDRESS = "10.244.0.1"
SERVICE_NETWORK = "10.96.0.0/16"
BRIDGE = "cni0"
SUPERVISOR = "e2e.cluster.supervisor"

# Directories outside the state that components write to by fixed names.
_PRIVATE_DIRECTORIES = {"/var/lib/kubelet": "kubelet", "/var/lib/cni": "cni/state", "/var/log": "log/node"}
# What kubelet asks of its root cgroup, as far as the machine has it.
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb")
# kubelet sets these for the whole machine; it is given copies, so that the machine keeps its own.
_MACHINE_SETTINGS = (
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
)
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def unshare_command() -> list[str]:
    """The command prefix that starts a process as PID 1 of fresh namespaces and ends all with it."""
    return ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"]


def supervisors(layout: Layout) -> list[int]:
    """The processes that run a checkout's supervisor, its parent `unshare` first, whether they answer or not.

    They are told by command line and working directory: whatever else records them can be missing when a
    start is cut short.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile, or be somebody else's
            words = (process / "cmdline").read_bytes().split(b"\0")
            if SUPERVISOR.encode() in words and (process / "cwd").readlink() == layout.checkout:
                found.append(int(process.name))
    return sorted(found)


def prepare(layout: Layout) -> None:
    """Turn fresh namespaces into a node: call once, as PID 1, before any component starts."""
    _mount(layout)
    _network()
    for hierarchy in _hierarchies():
        create_cgroup(hierarchy, layout.cgroup)


@contextmanager
def _machine_lock(layout: Layout) -> Iterator[None]:
    """Held while mount points that checkouts share come and go."""
    with (layout.states / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mount(layout: Layout) -> None:
    run(["mount", "--make-rshared", "/"])  # kubelet and containerd hand mounts to each other
    run(["mount", "-t", "proc", "proc", "/proc"])
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"])
    with _machine_lock(layout):
        for target, source in _PRIVATE_DIRECTORIES.items():
            (layout.state / source).mkdir(parents=True, exist_ok=True)
            Path(target).mkdir(parents=True, exist_ok=True)
            run(["mount", "--bind", layout.state / source, target])
    copies = layout.state / "sysctl"
    copies.mkdir(exist_ok=True)
    for setting in map(Path, _MACHINE_SETTINGS):
        copy = copies / setting.name
        copy.write_text(setting.read_text())
        run(["mount", "--bind", copy, setting])


def _network() -> None:
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    # There is no default route; without this one the node itself could not reach a Service.
    run(["ip", "route", "add", SERVICE_NETWORK, "dev", BRIDGE, "src", NODE_ADDRESS])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    if not _BRIDGE_FILTER.exists():
        raise ExpectedError("Services need the kernel module br_netfilter, and modprobe could not load it")
    _BRIDGE_FILTER.write_text("1")


def load_kernel_modules(progress: Progress) -> None:
    """Load what pods and Services need and the kernel hasn't built in; from outside, before `prepare`."""
    proofs = {"br_netfilter": _BRIDGE_FILTER, "overlay": Path("/sys/module/overlay")}
    for module in (name for name, proof in proofs.items() if not proof.exists()):
        install_packages({"modprobe": "kmod"}, progress)
        subprocess.run(["modprobe", module], capture_output=True, check=False)


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def create_cgroup(hierarchy: Path, name: str) -> None:
    """Make a cgroup that kubelet accepts as root of all pods, in one mounted hierarchy of either version."""
    group = hierarchy / name
    _hand_down_controllers(hierarchy)
    group.mkdir(exist_ok=True)
    # While the group hands them down too, a service manager that needs one no more can't take it back.
    _hand_down_controllers(group)
    # A new cpuset of cgroup v1 is empty and refuses processes.
    for setting in ("cpuset.mems", "cpuset.cpus"):
        parent = hierarchy / setting
        if parent.exists() and (group / setting).exists():
            (group / setting).write_text(parent.read_text())


def _hand_down_controllers(group: Path) -> None:
    """In cgroup v2 a child has only the controllers that its parent hands down, and kubelet wants its own."""
    available = group / "cgroup.controllers"
    found = available.read_text().split() if available.exists() else []
    if "memory" in found:  # else cgroup v1 has the controllers, and this hierarchy at most what is left
        wanted = " ".join(f"+{name}" for name in _CONTROLLERS if name in found)
        (group / "cgroup.subtree_control").write_text(wanted)


def remove_leftovers(layout: Layout, limit_seconds: float = 10) -> None:
    """Remove what outlives the namespaces: cgroups (once their processes are gone), state, mount points."""
    deadline = time.monotonic() + limit_seconds
    while remaining := [group for group in _groups(layout) if not _removed(group)]:
        if time.monotonic() > deadline:
            raise ExpectedError(f"still in use after {limit_seconds:.0f}s: {remaining[-1]}")
        time.sleep(0.1)
    with _machine_lock(layout):
        shutil.rmtree(layout.state, ignore_errors=True)
        # Removing a directory unmounts what other namespaces have mounted on it.
        if not any(path.is_dir() for path in layout.states.iterdir()):
            for target in _PRIVATE_DIRECTORIES:
                _removed(Path(target))


def _groups(layout: Layout) -> list[Path]:
    """All cgroup directories of the cluster, children before parents."""
    roots = [hierarchy / layout.cgroup for hierarchy in _hierarchies()]
    return [Path(path) for root in roots for path, _, _ in os.walk(root, topdown=False)]


def has_leftovers(layout: Layout) -> bool:
    return layout.state.exists() or bool(_groups(layout))


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return not directory.exists()
    return True
