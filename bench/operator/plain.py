"""The same pods without an operator: a plain ReplicaSet and Service, with a colour's template and files."""

from __future__ import annotations

from typing import Any

from e2e.lab.lab import Lab

from sluicegate.core import naming, objects
from sluicegate.kube import resources

Object = dict[str, Any]


async def copy_of(lab: Lab, deployment: str) -> list[Object]:
    """ConfigMap, Secret, Service and ReplicaSet, without a namespace, named as the deployment's own."""
    of_it = {naming.DEPLOYMENT: deployment}
    (record,) = await lab.all(resources.CONTROLLER_REVISION, **of_it)
    service = await lab.get(resources.SERVICE, deployment)
    labels = {"app": deployment}
    template = record["data"]["template"]
    template["metadata"] = {**template["metadata"], "labels": labels}
    ports = [{"port": each["port"], "targetPort": each["targetPort"]} for each in service["spec"]["ports"]]
    pods = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return [
        *[_with_data(each) for each in await lab.all(resources.CONFIG_MAP, **of_it)],
        *[_with_data(each) for each in await lab.all(resources.SECRET, **of_it)],
        _object("v1", "Service", deployment, spec={"selector": labels, "ports": ports}),
        _object("apps/v1", "ReplicaSet", deployment, spec=pods),
    ]


def _with_data(obj: Object) -> Object:
    return _object(obj["apiVersion"], obj["kind"], objects.name(obj), data=obj["data"])


def _object(api_version: str, kind: str, name: str, **body: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **body}
