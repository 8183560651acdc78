"""PID 1 of a cluster's namespaces: starts the components, reaps, answers on a control socket.

It restarts nothing by itself: a component that died stays dead and is seen in `status`, so that no test
passes over a crash. The kernel ends everything in the namespaces when this process ends.

Run as `python -m e2e.cluster.supervisor KUBE PORT LISTENER`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import namespaces
from e2e.cluster.command import exit_with
from e2e.cluster.components import Component, cluster_components
from e2e.cluster.layout import Layout


@dataclass
class Running:
    """A component's process; `exit_code` is None while it lives, negative for a signal."""

    process: subprocess.Popen[bytes]
    exit_code: int | None = None


class Supervisor:
    """Starts components in order and does what the control socket asks for."""

    def __init__(self, components: list[Component], logs: Path) -> None:
        self._components = {component.name: component for component in components}
        self._logs = logs
        self._running: dict[str, Running] = {}
        self._waiting_for: str | None = "the first component"
        self._stopping = asyncio.Event()

    async def run(self, control_socket: Path) -> None:
        """Until SIGTERM or SIGINT, or until a component can't be started at all, which is raised."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._stopping.set)
        server = await asyncio.start_unix_server(self._answer, control_socket)
        starting = asyncio.create_task(self._start_all())
        await self._stopping.wait()
        starting.cancel()
        server.close()
        with suppress(asyncio.CancelledError):
            await starting

    async def _start_all(self) -> None:
        try:
            for name, component in self._components.items():
                self._waiting_for = name
                self._start(component)
                await self._until_up(component)
        except ChildProcessError:
            return  # `status` tells of it
        except Exception:
            self._stopping.set()
            raise
        self._waiting_for = None

    async def _until_up(self, component: Component) -> None:
        """Raises ChildProcessError when the component ends instead."""
        while not component.is_up():
            code = self._running[component.name].exit_code
            if code is not None:
                raise ChildProcessError(f"{component.name} ended with code {code}: see {component.name}.log")
            await asyncio.sleep(0.05)

    def _start(self, component: Component) -> None:
        with (self._logs / f"{component.name}.log").open("ab") as log:
            process = subprocess.Popen(
                component.command,
                env={**os.environ, **component.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=component.inherited_files,
                start_new_session=True,
            )
        self._running[component.name] = Running(process)

    def _reap(self) -> None:
        """Collect every dead child: our components, and orphans of containers, which are handed to PID 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for running in self._running.values():
                if running.process.pid == pid and running.exit_code is None:
                    running.exit_code = running.process.returncode = os.waitstatus_to_exitcode(status)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        try:
            answer = await self._do(request["action"], request["component"], request["signal"])
        except (KeyError, ValueError, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _do(self, action: str, name: str, signal_name: str) -> dict[str, Any]:
        if action == "status":
            return self._status()
        component = self._components[name]
        if action in ("stop", "restart"):
            await self._stop(name, signal.Signals[f"SIG{signal_name}"])
        if action in ("start", "restart"):
            running = self._running.get(name)
            if running is None or running.exit_code is not None:
                self._start(component)
            await self._until_up(component)
        return self._status()

    async def _stop(self, name: str, how: signal.Signals) -> None:
        running = self._running[name]
        if running.exit_code is None:
            os.kill(running.process.pid, how)
        while running.exit_code is None:
            await asyncio.sleep(0.02)

    def _status(self) -> dict[str, Any]:
        components = {
            name: {"pid": running.process.pid, "exitCode": running.exit_code}
            for name, running in self._running.items()
        }
        return {"waitingFor": self._waiting_for, "components": components}


def main() -> int:
    kube, port, listener = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    layout = Layout.here()
    namespaces.prepare(layout)
    components = cluster_components(kube, layout, port, listener)
    asyncio.run(Supervisor(components, layout.logs).run(layout.control_socket))
    return 0


if __name__ == "__main__":
    exit_with(main)
