"""What the fake API server knows of each kind it serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.sim.server import schemas
from tests.sim.server.schemas import Schema

from sluicegate.kube import resources
from sluicegate.kube.resources import Resource

_WITH_STATUS = {
    "Pod",
    "Service",
    "ReplicaSet",
    "Deployment",
    "Job",
    "PodDisruptionBudget",
    "Node",
    "Namespace",
}
_WITH_GENERATION = {
    "Pod",
    "ReplicaSet",
    "Deployment",
    "Job",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "EndpointSlice",
}


@dataclass(frozen=True)
class Scale:
    """Where a kind keeps what its `scale` subresource shows, as paths of field names."""

    replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One kind: its schema, whether status is a subresource, and whether spec changes are counted."""

    resource: Resource
    schema: Schema
    status: bool
    generation: bool
    custom: bool = False
    scale: Scale | None = None

    @property
    def subresources(self) -> tuple[str, ...]:
        return (*(("status",) if self.status else ()), *(("scale",) if self.scale else ()))


@cache
def built_in() -> tuple[Kind, ...]:
    return tuple(
        Kind(each, schemas.built_in(each), each.kind in _WITH_STATUS, each.kind in _WITH_GENERATION)
        for each in schemas.BUILT_IN
    )


def of_crd(crd: Mapping[str, Any]) -> Kind:
    """The kind that a CustomResourceDefinition with one served version declares."""
    spec = crd["spec"]
    (version,) = (each for each in spec["versions"] if each["served"])
    subresources = version.get("subresources", {})
    resource = Resource(
        f"{spec['group']}/{version['name']}",
        spec["names"]["kind"],
        spec["names"]["plural"],
        spec["scope"] == "Namespaced",
    )
    return Kind(
        resource,
        schemas.of_crd(version["schema"]["openAPIV3Schema"]),
        status="status" in subresources,
        generation=True,
        custom=True,
        scale=_scale(subresources.get("scale")),
    )


def _scale(declared: Mapping[str, str] | None) -> Scale | None:
    if declared is None:
        return None
    names = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    return Scale(*(tuple(declared.get(name, "").strip(".").split(".")) for name in names))


def read_crds(folder: Path) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions in a folder of YAML files, by name."""
    documents = [
        doc for file in sorted(folder.glob("*.yaml")) for doc in yaml.safe_load_all(file.read_text())
    ]
    return [doc for doc in documents if doc and doc["kind"] == resources.CUSTOM_RESOURCE_DEFINITION.kind]


def all_kinds(crds: Iterable[Mapping[str, Any]]) -> dict[str, Kind]:
    """Every kind by its group, version and plural: `apps/v1/replicasets`."""
    kinds = (*built_in(), *(of_crd(crd) for crd in crds))
    return {f"{kind.resource.api_version}/{kind.resource.plural}": kind for kind in kinds}
