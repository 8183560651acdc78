"""etcd and kube-apiserver alone, for contract tests: five seconds, no root, ports on the loopback device.

The garbage collector, which makes a deletion whole, runs beside them where a test asks for it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster import binary
from e2e.cluster.components import Component, Endpoints, apiserver, etcd, garbage_collection
from e2e.cluster.pki import CLUSTER_NAMES, Authority
from e2e.cluster.progress import Progress

_START_SECONDS = 60


@dataclass
class ApiServer:
    """A running pair; `stop` and `start` play an API server that goes away and comes back."""

    url: str
    kubeconfig: Path
    _directory: Path
    _component: Component
    _process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def audit_log(self) -> Path:
        return self._directory / "audit.log"

    @property
    def pki(self) -> Path:
        return self._directory / "pki"

    def stop(self, signal_number: int = signal.SIGKILL) -> None:
        self._process.send_signal(signal_number)
        self._process.wait()

    def start(self) -> None:
        self._process = _spawn(self._component, self._directory)
        _await(self._component, self._process, self._directory)


@contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    """Run both in an empty `directory` (data, logs, `kubeconfig` of an admin, `audit.log`) until the end.

    They die with the thread that started them, even if it is killed.
    """
    kube = binary.built(Progress()) / "kube"
    ports = Endpoints(*_free_ports(3))
    url = f"https://127.0.0.1:{ports.apiserver}"
    authority = Authority(directory / "pki")
    authority.issue("apiserver", "kube-apiserver", hosts=(*CLUSTER_NAMES, "127.0.0.1", "10.96.0.1"))
    authority.issue("admin", "sluicegate-admin", ("system:masters",))
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(authority.kubeconfig("admin", url))
    server = apiserver(kube, directory, ports, "127.0.0.1")
    with ExitStack() as cleanup:
        processes = {}
        for component in (etcd(kube, directory, ports), server):
            processes[component.name] = process = _spawn(component, directory)
            _await(component, process, directory)
            cleanup.callback(_end, process)
        running = ApiServer(url, kubeconfig, directory, server, processes["apiserver"])
        cleanup.callback(lambda: _end(running._process))
        yield running


@contextmanager
def garbage_collector(server: ApiServer) -> Iterator[None]:
    """The controller-manager beside a running API server, with this one controller."""
    kube = binary.built(Progress()) / "kube"
    component = garbage_collection(kube, server.kubeconfig)
    process = _spawn(component, server.kubeconfig.parent)
    try:
        yield
    finally:
        _end(process)


def _spawn(component: Component, directory: Path) -> subprocess.Popen[bytes]:
    with (directory / f"{component.name}.log").open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *component.command],
            env={**os.environ, **component.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _await(component: Component, process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not component.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            _end(process)
            log = (directory / f"{component.name}.log").read_text(errors="replace")
            raise RuntimeError(f"{component.name} did not come up:\n{log[-2000:]}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
