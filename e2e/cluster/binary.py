"""The Kubernetes binary: built once from Go modules, kept by the hash of what it is made from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.cluster.layout import cache_directory
from e2e.cluster.machine import MachineError, require_space, require_venv
from e2e.cluster.progress import Progress

SOURCE = Path(__file__).parent / "kubernetes"
KEPT_BUILDS = 3
_OLDEST_GO = (1, 24)


def built(progress: Progress) -> Path:
    """The directory that holds the executables `kube` and `pause`, built now if need be."""
    directory = cache_directory() / "kubernetes" / _key()
    if directory.exists():
        os.utime(directory)
        return directory
    require_space(cache_directory(), 6, "building Kubernetes")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.step("building Kubernetes from its Go modules (once; 5 minutes on 2 cores)"),
        tempfile.TemporaryDirectory(dir=directory.parent, prefix="incoming-") as scratch,
    ):
        _build(Path(scratch), _go(progress))
        try:
            Path(scratch).rename(directory)
        except OSError:
            if not directory.exists():  # another checkout may have won the race: its build is as good
                raise
        else:
            directory.chmod(0o755)
    _prune(directory.parent)
    return directory


def _sources() -> list[Path]:
    return sorted([*SOURCE.glob("**/*.go"), SOURCE / "go.mod", SOURCE / "go.sum"])


def _key() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(target: Path, go: str) -> None:
    version = re.search(r"k8s\.io/kubernetes (v1\.(\d+)\.\d+)", (SOURCE / "go.mod").read_text())
    assert version, "go.mod names the version of Kubernetes"
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion={version[1]} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={version[2]}"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-mod=readonly", "-trimpath", f"-ldflags={flags}"]
    for package, name in ((".", "kube"), ("./pause", "pause")):
        done = subprocess.run(
            [*command, "-o", str(target / name), package],
            cwd=SOURCE, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise MachineError(f"{go} build of {name} failed:\n{done.stderr[-4000:]}")


def _go(progress: Progress) -> str:
    """A Go toolchain: the machine's own if it is recent enough, else the one the package index has."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found and _version(found) >= _OLDEST_GO:
        return found
    tools = cache_directory() / "go"
    if not (tools / "bin" / "go").exists():
        require_venv(progress)
        with progress.step("installing a Go toolchain"):
            subprocess.run([sys.executable, "-m", "venv", tools], check=True)
            locked = SOURCE.parents[2] / "requirements" / "go.txt"
            pip = [str(tools / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--require-hashes", "-r", str(locked)], check=True)
    return str(tools / "bin" / "go")


def _version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])


def _prune(builds: Path) -> None:
    by_age = sorted((p for p in builds.iterdir() if not p.name.startswith("incoming-")), key=os.path.getmtime)
    for stale in by_age[:-KEPT_BUILDS]:
        shutil.rmtree(stale, ignore_errors=True)
