"""The node lifecycle controller: what becomes of pods whose node has gone silent, or is no more."""

from __future__ import annotations

from collections.abc import Iterable

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import is_ready, node_of, with_condition

from sluicegate.core.objects import Manifest, condition, name, terminating
from sluicegate.kube.resources import NODE, POD

SILENCE_SECONDS = 40.0
"""The real controller's node-monitor-grace-period is 50 s since Kubernetes 1.32, and was 40 s before."""
TOLERATION_SECONDS = 20.0
"""For how long pods tolerate node.kubernetes.io/unreachable. The API server's own choice is 300 s, in which
nothing happens."""


class Nodes:
    """Nodes are alive unless they are in `silent`, with the time at which they fell silent."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._hand = server.hand("kube-controller-manager")
        self.silent: dict[str, float] = {}

    def add(self, node: str, **allocatable: str) -> None:
        """A node that is ready, with these resources."""
        self._hand.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        self._say(node, "True", allocatable=allocatable)

    def alive(self, node: str) -> bool:
        return node not in self.silent and any(name(each) == node for each in self._server.peek(NODE))

    def sync(self, now: float) -> float | None:
        """Returns when time alone changes something next."""
        pods = list(self._server.peek(POD))
        nodes = {name(node): node for node in self._server.peek(NODE)}
        self._collect(pods, nodes.keys())
        moments: list[float] = []
        for node, since in self.silent.items():
            on_it = [pod for pod in pods if node_of(pod) == node]
            if node in nodes and now >= since + SILENCE_SECONDS:
                self._give_up(nodes[node], on_it)
            if now >= since + SILENCE_SECONDS + TOLERATION_SECONDS:
                self._evict(on_it)
            moments += [since + SILENCE_SECONDS, since + SILENCE_SECONDS + TOLERATION_SECONDS]
        return min((moment for moment in moments if moment > now), default=None)

    def recover(self) -> None:
        """Kubelets of nodes that are back say so."""
        for node in list(self._server.peek(NODE)):
            known = condition(node, "Ready")
            if name(node) not in self.silent and (known is None or known["status"] != "True"):
                self._say(name(node), "True")

    def _collect(self, pods: Iterable[Manifest], nodes: Iterable[str]) -> None:
        """The pods of a node that was removed go without anybody's waiting for its kubelet."""
        for pod in pods:
            node = node_of(pod)
            if node is not None and node not in nodes:
                self._hand.delete(POD, pod["metadata"]["namespace"], name(pod), grace_seconds=0)

    def _give_up(self, node: Manifest, pods: Iterable[Manifest]) -> None:
        known = condition(node, "Ready")
        if known is not None and known["status"] == "Unknown":
            return
        self._say(name(node), "Unknown")
        for pod in filter(is_ready, pods):
            where = pod["metadata"]
            status = with_condition(pod, "Ready", "False", self._server.timestamp())
            self._hand.patch(POD, where["namespace"], where["name"], {"status": status}, subresource="status")

    def _evict(self, pods: Iterable[Manifest]) -> None:
        for pod in pods:
            if not terminating(pod):
                self._hand.delete(POD, pod["metadata"]["namespace"], name(pod))

    def _say(self, node: str, ready: str, **rest: object) -> None:
        now = self._server.timestamp()
        times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        status = {"conditions": [{"type": "Ready", "status": ready, **times}], **rest}
        self._hand.patch(NODE, "", node, {"status": status}, subresource="status")
