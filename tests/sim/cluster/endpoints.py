"""The EndpointSlice controller, and kube-proxy, which follows it a moment later."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import is_ready

from sluicegate.core.objects import Manifest, labels, name, terminating, uid
from sluicegate.kube.resources import ENDPOINT_SLICE, POD, SERVICE

ADDED_SECONDS = 0.1
REMOVED_SECONDS = 1.0
"""A backend is used within 0.1 s; new connections may reach a removed one for another second."""

Backends = Mapping[str, tuple[str, ...]]


class Endpoints:
    """`backends` is by clusterIP: the addresses of the ready pods that a Service selects."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._hand = server.hand("kube-controller-manager")
        self._history: deque[tuple[float, Backends]] = deque([(float("-inf"), {})])

    def take_over(self, other: Endpoints) -> None:
        """Go on where another one was."""
        self._history = deque(other._history)

    def sync(self, now: float) -> None:
        pods = Labelled(self._server.peek(POD))
        backends: dict[str, tuple[str, ...]] = {}
        slices = {_where(each): each for each in self._server.peek(ENDPOINT_SLICE)}
        for service in list(self._server.peek(SERVICE)):
            behind = [pod for pod in pods.selected(service) if pod.get("status", {}).get("podIP")]
            ready = sorted(pod["status"]["podIP"] for pod in behind if answers(pod))
            backends[service["spec"].get("clusterIP", "")] = tuple(ready)
            if not terminating(service):
                namespace, named = _where(service)
                self._slice(service, behind, slices.get((namespace, f"{named}-slice")))
        if backends != self._history[-1][1]:
            self._history.append((now, backends))

    def reached(self, cluster_ip: str, now: float, chance: random.Random) -> str | None:
        """The pod's address that a new connection reaches, or None where nobody is there."""
        reaches = self.lingering if chance.random() < 0.2 else self.known
        reachable = sorted(reaches(cluster_ip, now))
        return chance.choice(reachable) if reachable else None

    def known(self, cluster_ip: str, now: float) -> frozenset[str]:
        """The addresses to which kube-proxy sends new connections."""
        return frozenset(address for each in self._heard(now)[-1:] for address in each.get(cluster_ip, ()))

    def lingering(self, cluster_ip: str, now: float) -> frozenset[str]:
        """Those, and the ones removed a moment ago, which some new connections still reach."""
        return frozenset(address for each in self._heard(now) for address in each.get(cluster_ip, ()))

    def _heard(self, now: float) -> list[Backends]:
        """What kube-proxy has heard of last, the newest at the end."""
        while len(self._history) > 1 and self._history[1][0] < now - REMOVED_SECONDS - ADDED_SECONDS:
            self._history.popleft()
        return [each for at, each in self._history if at <= now - ADDED_SECONDS]

    def _slice(self, service: Manifest, behind: list[Manifest], live: Manifest | None) -> None:
        namespace, named = _where(service)
        endpoints = [
            {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": answers(pod)}} for pod in behind
        ]
        if not endpoints:
            if live is not None:
                self._hand.delete(ENDPOINT_SLICE, namespace, f"{named}-slice")
        elif live is None:
            self._hand.create(_slice(service, endpoints))
        elif live["endpoints"] != endpoints:
            self._hand.patch(ENDPOINT_SLICE, namespace, f"{named}-slice", {"endpoints": endpoints})


class Labelled:
    """Pods by namespace and label, in the order in which they are given."""

    def __init__(self, pods: Iterable[Manifest]) -> None:
        self._pods: defaultdict[tuple[str, tuple[str, str]], list[Manifest]] = defaultdict(list)
        for pod in pods:
            for label in labels(pod).items():
                self._pods[pod["metadata"]["namespace"], label].append(pod)

    def selected(self, service: Manifest) -> list[Manifest]:
        """Those of the Service's namespace that its selector matches."""
        selector = (service["spec"].get("selector") or {}).items()
        namespace = service["metadata"]["namespace"]
        each = [self._pods.get((namespace, label), []) for label in selector]
        return [pod for pod in min(each, key=len, default=[]) if selector <= labels(pod).items()]


def answers(pod: Manifest) -> bool:
    return is_ready(pod) and not terminating(pod) and bool(pod["status"].get("podIP"))


def _where(obj: Manifest) -> tuple[str, str]:
    return obj["metadata"]["namespace"], name(obj)


def _slice(service: Manifest, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Service", "name": name(service), "uid": uid(service)}
    metadata = {
        "namespace": service["metadata"]["namespace"],
        "name": f"{name(service)}-slice",
        "labels": {"kubernetes.io/service-name": name(service)},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
    }
