"""The runtimes inside model pods: each serves what its pointer named at its start, or what it changed to."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.core.engines import Engine, Pace, Verdict, cancelled, due, ordered, started, went_on
from tests.sim.apiserver import ApiServer

from sluicegate.core.objects import Manifest, uid
from sluicegate.core.template import POINTER_KEY, TOKEN_KEY
from sluicegate.kube.resources import CONFIG_MAP, SECRET

STAGE_SECONDS, SWITCH_SECONDS = 3.0, 0.5

_VERDICTS: Mapping[str, Verdict] = {
    "restart-required": ("Refused", "RestartRequired", "UnsupportedArchitecture: Mamba"),
    "rolled-back": ("RolledBack", "ChecksumMismatch", "model.norm.weight differs"),
    "wrong": ("RolledBack", "GoldenPromptsFailed", "golden prompt hello, token 1"),
}


@dataclass(frozen=True)
class Runtime:
    """One that runs: what its engine serves, the control token that it has, and where."""

    engine: Engine
    token: str
    address: str
    node: str

    @property
    def version(self) -> str:
        return self.engine.version

    @property
    def digest(self) -> str:
        return str(self.engine.pointer.get("digest"))


class Runtimes:
    """Those that run, by pod uid. `trouble` is by the name of a ModelVersion, as the kubelets have it.

    `listeners` are told of each order that one takes, by pod uid, before it does.
    """

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.running: dict[str, Runtime] = {}
        self._addresses: dict[str, str] = {}
        self._left: dict[str, Engine] = {}
        self._at_it: set[str] = set()
        self.listeners: list[Callable[[str, Mapping[str, Any]], None]] = []

    def take_over(self, other: Runtimes) -> None:
        """Go on where others were."""
        self.running, self._addresses = dict(other.running), dict(other._addresses)
        self._left, self._at_it = dict(other._left), set(other._at_it)

    def sync(self, now: float, trouble: Mapping[str, str]) -> float | None:
        """Returns when one of them goes on next."""

        def end(body: Mapping[str, Any]) -> Verdict | None:
            found = trouble.get(body["version"], "")
            return None if found == "wrong" and not body.get("golden") else _VERDICTS.get(found)

        pace = Pace(STAGE_SECONDS, SWITCH_SECONDS, end)
        moments = [self._go_on(pod, pace, now) for pod in sorted(self._at_it)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _go_on(self, pod: str, pace: Pace, now: float) -> float | None:
        runtime = self.running.get(pod)
        engine = went_on(runtime.engine, pace, now) if runtime is not None else None
        moment = due(engine, pace) if engine is not None else None
        if runtime is not None and engine is not None:
            self.running[pod] = replace(runtime, engine=engine)
        if moment is None:
            self._at_it.discard(pod)
        return moment

    def order(self, runtime: Runtime, body: Mapping[str, Any], now: float) -> str | None:
        """Tell one to change; returns why it does not take that."""
        found = ordered(runtime.engine, body, now)
        if isinstance(found, str):
            return found
        if found is not runtime.engine:
            for listener in self.listeners:
                listener(self._pod(runtime), body)
        self._became(runtime, found)
        return None

    def cancel(self, runtime: Runtime) -> None:
        self._became(runtime, cancelled(runtime.engine))

    def _became(self, runtime: Runtime, engine: Engine) -> None:
        pod = self._pod(runtime)
        self.running[pod] = replace(runtime, engine=engine)
        self._at_it.add(pod)

    def _pod(self, runtime: Runtime) -> str:
        return next(uid for uid, each in self.running.items() if each is runtime)

    def runs(self, pod: str) -> bool:
        return pod in self.running

    def address(self, pod: Manifest) -> str:
        """The pod's IP, the same for its whole life."""
        number = len(self._addresses)
        return self._addresses.setdefault(uid(pod), f"10.244.{number // 250}.{number % 250 + 1}")

    def at(self, address: str) -> Runtime | None:
        """Who runs at an address."""
        return next((each for each in self.running.values() if each.address == address), None)

    def mountable(self, pod: Manifest) -> bool:
        """Whether the ConfigMap and the Secret that it mounts are there; a kubelet waits for them."""
        return self.pointer(pod) is not None and self._token(pod) is not None

    def version_for(self, pod: Manifest) -> str:
        """What its container starts with, or would if it ended now."""
        return str(self._engine(pod).pointer.get("version", ""))

    def _engine(self, pod: Manifest) -> Engine:
        runtime = self.running.get(uid(pod))
        before = runtime.engine if runtime is not None else self._left.get(uid(pod))
        return started(self.pointer(pod) or {}, before)

    def started(self, pod: Manifest) -> None:
        self.running[uid(pod)] = Runtime(
            engine=self._engine(pod),
            token=self._token(pod) or "",
            address=self.address(pod),
            node=str(pod["spec"]["nodeName"]),
        )

    def stopped(self, pod: str) -> None:
        """Its container ends. What it changed to stays with the pod."""
        if (runtime := self.running.pop(pod, None)) is not None:
            self._left[pod] = runtime.engine

    def gone(self, pod: str) -> None:
        """The pod ends."""
        self.running.pop(pod, None)
        self._left.pop(pod, None)

    def pointer(self, pod: Manifest) -> dict[str, Any] | None:
        """What its pointer names, if that is there and can be read."""
        found = self._mounted(pod, "pointer")
        try:
            pointer = json.loads(found["data"][POINTER_KEY]) if found else None
        except (KeyError, ValueError):
            return None
        return pointer if isinstance(pointer, dict) else None

    def _token(self, pod: Manifest) -> str | None:
        found = self._mounted(pod, "control")
        encoded = ((found or {}).get("data") or {}).get(TOKEN_KEY)
        return base64.b64decode(encoded).decode() if encoded else None

    def _mounted(self, pod: Manifest, volume: str) -> Manifest | None:
        volumes = {each["name"]: each for each in pod["spec"].get("volumes") or ()}
        source = volumes.get(volume, {})
        namespace = pod["metadata"]["namespace"]
        if "configMap" in source:
            return self._server.find(CONFIG_MAP, namespace, source["configMap"]["name"])
        if "secret" in source:
            return self._server.find(SECRET, namespace, source["secret"]["secretName"])
        return None
