"""A version that a user's own Job has to let pass."""

from __future__ import annotations

from typing import Any

from tests.builders import ADeployment
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster

from sluicegate.core.plan import Create

JOB = {"image": "tests:1"}


def asking(**job: Any) -> dict[str, Any]:
    return {"verification": {"job": {**JOB, **job}}}


def changed(deployment: ADeployment | None = None, **job: Any) -> Cluster:
    """Version v1 serves, which no Job has tried, and v2 is wanted, which a Job has to let pass."""
    cluster = a_settled_cluster(deployment)
    cluster.edit(modelVersion="v2", rollout=asking(**job))
    return cluster


def jobs_made(cluster: Cluster) -> list[Any]:
    made = (each.manifest for each in cluster.log if isinstance(each, Create))
    return [each for each in made if each["kind"] == "Job"]
