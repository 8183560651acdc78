"""One LLMDeployment and what surrounds it, as the commands that report on it read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluicegate.cli.cluster import Cluster, found
from sluicegate.core import naming
from sluicegate.core.objects import annotation, is_true, name, terminating
from sluicegate.kube.errors import Forbidden, NotFound
from sluicegate.kube.resources import EVENT, LLM_DEPLOYMENT, MODEL_VERSION, POD, REPLICA_SET

Object = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """`model_versions` holds those that the deployment names and that exist."""

    deployment: Object
    model_versions: Mapping[str, Object]
    replica_sets: tuple[Object, ...]
    pods: tuple[Object, ...]
    now: datetime

    @property
    def status(self) -> Object:
        return self.deployment.get("status") or {}

    @property
    def conditions(self) -> list[Object]:
        return list(self.status.get("conditions") or ())

    @property
    def observed(self) -> bool:
        """Whether the operator has seen the present spec."""
        generation = self.deployment["metadata"].get("generation", 0)
        return int(self.status.get("observedGeneration", -1)) >= int(generation)

    @property
    def held(self) -> bool:
        """Whether an annotation stops all reconciling of it."""
        return held(self.deployment)


def held(deployment: Object) -> bool:
    """Whether an annotation stops all reconciling of it."""
    return annotation(deployment, naming.RECONCILE) == "Disabled"


def under_way(deployment: Object) -> Object | None:
    """The rollout that the status tells of, or None."""
    rollout: Object | None = (deployment.get("status") or {}).get("rollout")
    return rollout


def over(deployment: Object) -> list[Object]:
    """The rollouts that are over, newest first."""
    return list((deployment.get("status") or {}).get("history") or ())


async def view(cluster: Cluster, deployment: str, now: datetime) -> View:
    """Everything as it is now, by live reads."""
    client, namespace = cluster.client, cluster.namespace
    obj = await found(cluster, LLM_DEPLOYMENT, deployment)
    selector = f"{naming.DEPLOYMENT}={deployment}"
    pods = (await client.list(POD, namespace, label_selector=selector)).items
    replica_sets = (await client.list(REPLICA_SET, namespace, label_selector=selector)).items
    return View(
        deployment=obj,
        model_versions=await _model_versions(cluster, obj),
        replica_sets=tuple(replica_sets),
        pods=tuple(sorted(pods, key=name)),
        now=now,
    )


async def events_around(cluster: Cluster, seen: View) -> tuple[Object, ...] | None:
    """Events of the deployment and of what surrounds it, newest first; None where they may not be read."""
    concerned = {name(each) for each in (seen.deployment, *seen.pods, *seen.replica_sets)}
    for version in seen.model_versions:
        concerned |= {version, naming.inspection_name(version)}
    try:
        events = (await cluster.client.list(EVENT, cluster.namespace)).items
    except Forbidden:
        return None
    about = [event for event in events if (event.get("regarding") or {}).get("name") in concerned]
    return tuple(sorted(about, key=last_seen, reverse=True))


async def _model_versions(cluster: Cluster, deployment: Object) -> dict[str, Object]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    draft = ((spec.get("engine") or {}).get("speculative") or {}).get("draftModelVersion")
    names = {spec["modelVersion"], draft, (status.get("serving") or {}).get("version")}
    versions: dict[str, Object] = {}
    for version in sorted(filter(None, names)):
        try:
            versions[version] = await cluster.client.get(MODEL_VERSION, cluster.namespace, version)
        except NotFound:
            continue
    return versions


def last_seen(event: Object) -> str:
    """When the event happened last, as the API's timestamp; "" where it says nothing."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def pod_state(pod: Object) -> str:
    """One word or two on a pod, as kubectl would say it: what its first unfinished container waits for."""
    if terminating(pod):
        return "Terminating"
    if is_true(pod, "Ready"):
        return "Ready"
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        for kind in ("waiting", "terminated"):
            reason = ((container.get("state") or {}).get(kind) or {}).get("reason")
            if reason and reason != "Completed":
                return f"{container['name']}: {reason}"
    return str(status.get("reason") or status.get("phase") or "Unknown")


def restarts(pod: Object) -> int:
    status = pod.get("status") or {}
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(int(container.get("restartCount", 0)) for container in containers)


def since(timestamp: str, now: datetime) -> str:
    """The time that has passed, in at most two units, such as `3m 20s`."""
    if not timestamp:
        return "?"
    seconds = max(int((now - datetime.fromisoformat(timestamp)).total_seconds()), 0)
    parts = (
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    )
    first = next((i for i, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2])
