"""What controllers read of pods, and the one way in which they write a pod's status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sluicegate.core.objects import Manifest, condition, controller_uid, is_true, terminating

Status = dict[str, Any]


def by_owner(pods: Iterable[Manifest]) -> Mapping[str, list[Manifest]]:
    """Pods by the uid of their controlling owner."""
    found: dict[str, list[Manifest]] = defaultdict(list)
    for pod in pods:
        owner = controller_uid(pod)
        if owner:
            found[owner].append(pod)
    return found


def active(pod: Manifest) -> bool:
    """Whether it counts as one of its ReplicaSet's: an ended one stays only as a record."""
    return not terminating(pod) and phase(pod) not in ("Failed", "Succeeded")


def phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def node_of(pod: Manifest) -> str | None:
    node: str | None = pod["spec"].get("nodeName")
    return node


def is_ready(pod: Manifest) -> bool:
    return is_true(pod, "Ready")


def accelerators(pod: Manifest) -> dict[str, int]:
    """Extended resources that the pod asks for, by name."""
    found: dict[str, int] = defaultdict(int)
    for container in pod["spec"].get("containers") or ():
        for name, amount in (container.get("resources", {}).get("limits") or {}).items():
            if "/" in name:
                found[name] += int(amount)
    return found


def with_condition(pod: Manifest, kind: str, status: str, at: str, **words: str) -> Status:
    """The pod's status with one condition set; its transition is now where its status changes."""
    before = condition(pod, kind)
    moved = before is None or before["status"] != status
    since = at if moved or before is None else before["lastTransitionTime"]
    new = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since, **words}
    status_now: Status = dict(pod.get("status") or {})
    others = [each for each in status_now.get("conditions") or () if each["type"] != kind]
    return {**status_now, "conditions": [*others, new]}
