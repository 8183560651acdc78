"""The runtimes inside model pods: each serves what its pointer named when it started."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.sim.apiserver import ApiServer

from sluicegate.core.objects import Manifest, uid
from sluicegate.core.template import POINTER_KEY, TOKEN_KEY
from sluicegate.kube.resources import CONFIG_MAP, SECRET


@dataclass(frozen=True)
class Runtime:
    """One that runs: the version and digest that it loaded, the control token that it has, and where."""

    version: str
    digest: str
    token: str
    address: str
    node: str


class Runtimes:
    """Those that run, by pod uid."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.running: dict[str, Runtime] = {}
        self._addresses: dict[str, str] = {}

    def take_over(self, other: Runtimes) -> None:
        """Go on where others were."""
        self.running, self._addresses = dict(other.running), dict(other._addresses)

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
        return self._pointer(pod) is not None and self._token(pod) is not None

    def version_for(self, pod: Manifest) -> str:
        return str((self._pointer(pod) or {}).get("version", ""))

    def started(self, pod: Manifest) -> None:
        pointer = self._pointer(pod) or {}
        self.running[uid(pod)] = Runtime(
            version=str(pointer.get("version")),
            digest=str(pointer.get("digest")),
            token=self._token(pod) or "",
            address=self.address(pod),
            node=str(pod["spec"]["nodeName"]),
        )

    def stopped(self, pod: str) -> None:
        self.running.pop(pod, None)

    def _pointer(self, pod: Manifest) -> dict[str, Any] | None:
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
