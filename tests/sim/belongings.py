"""What belongs to an LLMDeployment, by its labels."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim.apiserver import ApiServer

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, labels
from sluicegate.kube.resources import Resource

Where = tuple[str, str]
"""Namespace and name of an LLMDeployment."""


def where_of(obj: Manifest) -> Where:
    """The LLMDeployment that an object belongs to; its name is "" where it belongs to none."""
    return obj["metadata"].get("namespace", ""), labels(obj).get(naming.DEPLOYMENT, "")


def rollout_of(obj: Manifest) -> str:
    """The rollout whose colour it is of, or "" where it is of none."""
    return labels(obj).get(naming.ROLLOUT, "")


def belongings(server: ApiServer, kind: Resource, where: Where) -> Iterator[Manifest]:
    """The objects of a kind, as stored."""
    return (each for each in server.peek(kind) if where_of(each) == where)
