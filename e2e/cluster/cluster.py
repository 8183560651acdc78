"""The cluster of a checkout, seen from outside: start it, look at it, reach into it, end it."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from signal import SIGKILL
from typing import Any

from e2e.cluster import binary, configuration, machine, namespaces
from e2e.cluster.command import ExpectedError, end_of, run
from e2e.cluster.components import NODE, PAUSE_IMAGE
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress, WaitError

_FIRST_PORT, _PORTS = 20000, 10000
_GPUS = 8


class ClusterError(ExpectedError):
    """The cluster is not there, or did not do what it was asked; the message says which."""


class Cluster:
    """One checkout's one-node Kubernetes."""

    def __init__(self, layout: Layout | None = None, progress: Progress | None = None) -> None:
        self.layout = layout or Layout.here()
        self._progress = progress or Progress()

    # -- life ---------------------------------------------------------------------------------------------

    def up(self, gpus: int | None = None) -> None:
        """Start the cluster, or reuse it if it is healthy and of this code; else its rest is removed first.

        `gpus` is what the node pretends to have: 8 where none is given, and a running cluster keeps its own.
        """
        machine.require_platform("a cluster")
        machine.require_root("a cluster")
        with self._locked():
            if not self._is_reusable():
                machine.install_packages(machine.CLUSTER_TOOLS, self._progress)
                self._remove()
                machine.require_space(self._disk_need(), *binary.disk_needs())
                self._start(binary.built(self._progress))
                self.set_gpus(_GPUS)
            if gpus is not None:
                self.set_gpus(gpus)
            self._progress.say(f"the cluster is up: {self.layout.kubeconfig}")

    def _is_reusable(self) -> bool:
        if self.problem() is not None:
            return False
        if not configuration.is_current(self.layout):
            self._progress.say(
                "the running cluster was made by other code than the checkout's: starting anew"
            )
            return False
        return True

    def down(self) -> None:
        """End everything and remove every trace but the caches; fine if nothing is there."""
        machine.require_root("ending a cluster")
        with self._locked():
            self._remove()
            configuration.remove_user_files(self.layout)
            self._progress.say("the cluster is gone")

    def problem(self) -> str | None:
        """What keeps the cluster from being healthy, in words; None if nothing does."""
        try:
            status = self.status()
        except ClusterError:
            return "the supervisor"
        for name, component in status["components"].items():
            if component["exitCode"] is not None:
                return f"{name}, which ended with code {component['exitCode']}: {self.log(name)}"
        if status["waitingFor"]:
            return str(status["waitingFor"])
        for file in (self.layout.kubectl, self.kubeconfig):
            if not file.exists():
                return f"{file}, which is gone"
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        done = self._kubectl("get", "node", NODE, f"-o=jsonpath={path}", "--request-timeout=5s")
        return None if done.stdout == "True" else f"node {NODE} to be Ready"

    def status(self) -> dict[str, Any]:
        """{"waitingFor": name | None, "components": {name: {"pid": its own, "exitCode": int | None}}}"""
        return self._ask("status")

    def _disk_need(self) -> machine.Need:
        """With both images pulled and the tests' models in place."""
        remedy = "free some space there, by `make down` in other checkouts too"
        return machine.Need("a running cluster", self.layout.state, 12, remedy)

    def _start(self, built: Path) -> None:
        namespaces.load_kernel_modules(self._progress)
        with _listener(self.layout) as outside:
            port = outside.getsockname()[1]
            with self._progress.step("writing certificates and configuration"):
                configuration.write(self.layout, built / "kube", port)
            supervisor = [sys.executable, "-m", namespaces.SUPERVISOR, str(built / "kube"), str(port)]
            with self.log("supervisor").open("ab") as log:
                process = subprocess.Popen(
                    [*namespaces.unshare_command(), *supervisor, str(outside.fileno())],
                    cwd=self.layout.checkout,
                    env={**os.environ, "PATH": machine.search_path()},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(outside.fileno(),),
                    start_new_session=True,
                )
        try:
            self._progress.wait(lambda: self.missing_at_start(process), limit_seconds=120)
            self._import_pause_image(built / "pause")
            self._progress.wait(lambda: self.missing_at_start(process) or self.problem(), limit_seconds=120)
        except WaitError as error:
            raise ClusterError(f"{error}: see the logs in {self.layout.logs}") from error

    def missing_at_start(self, supervisor: subprocess.Popen[bytes]) -> str | None:
        """Like `problem` without the node, but what ended ends the wait."""
        if supervisor.poll() is not None:
            raise ClusterError(f"the cluster did not start: {end_of(self.log('supervisor'))}")
        try:
            status = self.status()
        except ClusterError:
            return "the supervisor"
        for name, component in status["components"].items():
            if component["exitCode"] is not None:
                raise ClusterError(
                    f"{name} ended with code {component['exitCode']}: {end_of(self.log(name))}"
                )
        return str(status["waitingFor"]) if status["waitingFor"] else None

    def _import_pause_image(self, pause: Path) -> None:
        archive = self.layout.state / "pause.tar"
        _write_image(archive, PAUSE_IMAGE, pause)
        ctr = ["ctr", "--address", str(self.layout.containerd_socket), "--namespace", "k8s.io"]
        run([*ctr, "images", "import", archive])
        archive.unlink()

    def _remove(self) -> None:
        supervisors = namespaces.supervisors(self.layout)
        if not supervisors and not namespaces.has_leftovers(self.layout):
            return
        with self._progress.step("removing what is left of a cluster"):
            for pid in supervisors:
                with suppress(ProcessLookupError):  # the first takes the others with it
                    os.kill(pid, SIGKILL)
            namespaces.remove_leftovers(self.layout)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        machine.private_directory(self.layout.states)  # every key of the cluster's control plane is below it
        with self._progress.alone(self.layout.lock):
            yield

    # -- components ---------------------------------------------------------------------------------------

    def stop(self, component: str, signal: str = "TERM") -> None:
        """End one component (by "KILL" as a crash would) and wait until it is dead. It stays dead."""
        self._ask("stop", component, signal)

    def start(self, component: str) -> None:
        """Start a stopped component and wait until it is up."""
        self._ask("start", component)

    def restart(self, component: str, signal: str = "TERM") -> None:
        self._ask("restart", component, signal)

    def log(self, component: str) -> Path:
        return self.layout.logs / f"{component}.log"

    def pid(self) -> int:
        """The supervisor's process id in this process's namespace."""
        with self._connected() as client:
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def _ask(self, action: str, component: str = "", signal: str = "TERM") -> dict[str, Any]:
        with self._connected() as client, client.makefile("rw") as stream:
            stream.write(json.dumps({"action": action, "component": component, "signal": signal}) + "\n")
            stream.flush()
            line = stream.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the supervisor hung up"}
        if "error" in answer:
            raise ClusterError(f"{action} {component}".strip() + f": {answer['error']}")
        return answer

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            try:
                client.connect(str(self.layout.control_socket))
            except OSError as error:
                raise ClusterError("the cluster is not up: start it with `make up`") from error
            yield client

    # -- reaching in --------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON object a line, one line a request (stage ResponseComplete, level Metadata)."""
        return self.layout.audit_log

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command, run in the cluster's network: it reaches pods, Services, and the API server."""
        return ["nsenter", "--target", str(self.pid()), "--net", "--", *command]

    def on_node(self, command: Sequence[str]) -> list[str]:
        """The command, run where kubelet runs: it sees the cluster's processes and mounts too."""
        namespace_options = ["--net", "--mount", "--pid", "--ipc", "--uts"]
        return ["nsenter", "--target", str(self.pid()), *namespace_options, "--", *command]

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """kubectl's output; `given` goes to its standard input. Raises ClusterError with its words."""
        done = self._kubectl(*arguments, given=given)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _kubectl(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [str(self.layout.kubectl), *arguments]
        return subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, check=False
        )

    def set_gpus(self, count: int) -> None:
        """Make the node offer `count` of the extended resource `nvidia.com/gpu`."""
        patch = json.dumps({"status": {"capacity": {"nvidia.com/gpu": str(count)}}})
        self.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", f"--patch={patch}")

    def add_volume(self, namespace: str, claim: str, directory: Path, capacity: str = "10Gi") -> None:
        """Make `directory` (readable by uid 65532) claimable as the PersistentVolumeClaim `claim`."""
        common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        name = f"{namespace}-{claim}"
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **common,
                "capacity": {"storage": capacity},
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(directory), "type": "Directory"},
                "claimRef": {"namespace": namespace, "name": claim},
            },
        }
        wanted = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": capacity}}},
        }
        items = {"apiVersion": "v1", "kind": "List", "items": [volume, wanted]}
        found = self.kubectl("get", "pv", name, "--ignore-not-found", "--output=jsonpath={.status.phase}")
        if found == "Released":  # its claim is gone, and it waits for that very one
            self.kubectl("delete", "pv", name)
        self.kubectl("apply", "--filename=-", given=json.dumps(items))


@contextmanager
def _listener(layout: Layout) -> Iterator[socket.socket]:
    """A socket listening on a loopback port that stays the same for a checkout as long as it is free."""
    preferred = _FIRST_PORT + int(layout.id, 16) % _PORTS
    for port in (preferred, 0):
        outside = socket.socket()
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            outside.bind(("127.0.0.1", port))
        except OSError:
            outside.close()
            continue
        with outside:
            outside.listen(128)
            yield outside
        return


def _write_image(archive: Path, name: str, executable: Path) -> None:
    """An image archive of one layer with one executable, `/pause`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(executable, arcname="pause")
    digest = sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    index = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    members = {
        "layer.tar": layer.getvalue(),
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(index).encode(),
    }
    with tarfile.open(archive, "w") as tar:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size, entry.mtime = len(content), int(time.time())
            tar.addfile(entry, io.BytesIO(content))
