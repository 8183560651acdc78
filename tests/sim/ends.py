"""What is reached at the end of a workload, or when its beginning is settled."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.cluster.pods import is_ready
from tests.sim.stage import Stage

from sluicegate.core.objects import Manifest
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, MODEL_VERSION, POD, REPLICA_SET, SERVICE

Reached = Callable[[Stage], object]


def rollout_of(stage: Stage) -> Manifest:
    """What the status tells of the change in progress; empty where it tells of none."""
    return status_of(stage).get("rollout") or {}


def status_of(stage: Stage) -> Manifest:
    """What the status of the deployment says; empty where there is none."""
    return (stage.find(LLM_DEPLOYMENT, "chat") or {}).get("status") or {}


def serves(version: str, pods: int) -> Reached:
    def reached(stage: Stage) -> bool:
        ready = [pod for pod in stage.pods() if is_ready(pod)]
        right = len(ready) == len(stage.pods()) == pods and len(stage.names(REPLICA_SET)) == 1
        return right and stage.is_ready(version)

    return reached


def nothing(stage: Stage) -> bool:
    return True


def nothing_added(stage: Stage) -> bool:
    service, pointers = stage.find(SERVICE, "chat"), stage.server.peek(CONFIG_MAP)
    added = service is None or service["spec"].get("publishNotReadyAddresses")
    return bool(TWO(stage)) and not added and not any("theirs" in each["data"] for each in pointers)


def rolled_back(stage: Stage) -> bool:
    """Whether what served alone is left, and says so of a version that failed."""
    ready = [pod for pod in stage.pods() if is_ready(pod)]
    alone = len(ready) == len(stage.pods()) == 2 and len(stage.names(REPLICA_SET)) == 1
    return alone and stage.reason("Stalled") == "RolledBack"


def changed_back(stage: Stage) -> bool:
    """Whether it says so, and no pod has yet to change."""
    return rolled_back(stage) and not rollout_of(stage)


def all_gone(stage: Stage) -> bool:
    kinds = (LLM_DEPLOYMENT, MODEL_VERSION, REPLICA_SET, POD)
    return not any(stage.names(kind) for kind in kinds)


def both_serve(version: str) -> Reached:
    def reached(stage: Stage) -> bool:
        right = len(stage.pods()) == len(stage.names(REPLICA_SET)) == 2
        return right and all(stage.is_ready(version, name) for name in ("chat", "search"))

    return reached


TWO = serves("v1", 2)
