"""The scheduler: a node with enough free accelerators for each pod, or the words for why there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tests.sim.apiserver import ApiServer
from tests.sim.cluster.pods import accelerators, node_of, phase, with_condition

from sluicegate.core.objects import Manifest, condition, is_true, name, terminating
from sluicegate.kube.resources import NODE, POD

Free = dict[str, dict[str, int]]


class Scheduler:
    """First node that fits, by name."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._hand = server.hand("kube-scheduler")

    def sync(self) -> None:
        pods = [pod for pod in self._server.peek(POD) if phase(pod) not in ("Failed", "Succeeded")]
        waiting = [pod for pod in pods if node_of(pod) is None and not terminating(pod)]
        if not waiting:
            return
        free = _free(self._server.peek(NODE), pods)
        for pod in waiting:
            self._place(pod, free)

    def _place(self, pod: Manifest, free: Free) -> None:
        wanted = accelerators(pod)
        fitting = [node for node, left in free.items() if _fits(wanted, left)]
        where, now = pod["metadata"], self._server.timestamp()
        if fitting:
            for resource, amount in wanted.items():
                free[fitting[0]][resource] -= amount
            binding = {"spec": {"nodeName": fitting[0]}}
            self._hand.patch(POD, where["namespace"], where["name"], binding)
            status = with_condition(pod, "PodScheduled", "True", now)
        else:
            lacking = ", ".join(f"{len(free)} Insufficient {resource}" for resource in wanted) or "no node"
            words = f"0/{len(free)} nodes are available: {lacking}."
            known = condition(pod, "PodScheduled")
            if known is not None and known.get("message") == words:
                return
            status = with_condition(pod, "PodScheduled", "False", now, reason="Unschedulable", message=words)
        self._hand.patch(POD, where["namespace"], where["name"], {"status": status}, subresource="status")


def _free(nodes: Iterable[Manifest], pods: Iterable[Manifest]) -> Free:
    """What each node that answers has left, by node and resource."""
    free: Free = {
        name(node): {
            resource: int(amount)
            for resource, amount in node["status"].get("allocatable", {}).items()
            if "/" in resource
        }
        for node in nodes
        if is_true(node, "Ready") and not node.get("spec", {}).get("unschedulable")
    }
    for pod in pods:
        left = free.get(node_of(pod) or "")
        if left is not None:
            for resource, amount in accelerators(pod).items():
                left[resource] = left.get(resource, 0) - amount
    return {node: defaultdict(int, left) for node, left in sorted(free.items())}


def _fits(wanted: Mapping[str, int], left: Mapping[str, int]) -> bool:
    return all(left.get(resource, 0) >= amount for resource, amount in wanted.items())
