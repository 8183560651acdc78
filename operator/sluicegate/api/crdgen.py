"""CustomResourceDefinitions from the pydantic models: code, schema and `kubectl explain` are one text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from sluicegate.api.meta import CATEGORY, GROUP, VERSION, Model
from sluicegate.api.schema import Schema, only_model, prose, struct, validations
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.api.v1alpha1.modelversion import ModelVersion


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; `wide` ones show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Resource:
    """A kind and what its CustomResourceDefinition says beside the schema."""

    model: type[Model]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    scale: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


def _condition_column(name: str, kind: str, key: str, *, wide: bool = False) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{kind}")].{key}', wide=wide)


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

RESOURCES = (
    Resource(
        model=ModelVersion,
        plural="modelversions",
        short_name="mv",
        columns=(
            _condition_column("Ready", "Ready", "status"),
            Column("Digest", ".status.digest"),
            Column("Size", ".status.size"),
            Column("Architecture", ".status.facts.architecture"),
            _condition_column("Reason", "Ready", "reason"),
            _AGE,
            Column("Source", ".spec.source.uri", wide=True),
        ),
    ),
    Resource(
        model=LLMDeployment,
        plural="llmdeployments",
        short_name="llmd",
        columns=(
            _condition_column("Ready", "Ready", "status"),
            Column("Phase", ".status.phase"),
            Column("Serving", ".status.serving.version"),
            Column("Target", ".status.target"),
            Column("Replicas", ".status.replicaSummary"),
            Column("Step", ".status.rollout.step"),
            _condition_column("Reason", "Ready", "reason"),
            _AGE,
            Column("Digest", ".status.serving.digest", wide=True),
            Column("URL", ".status.url", wide=True),
        ),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
)


def crds() -> tuple[Schema, ...]:
    """All CustomResourceDefinitions, as JSON."""
    return tuple(_crd(resource) for resource in RESOURCES)


@cache
def schemas() -> Mapping[str, Schema]:
    """The whole schema of each kind."""
    return {resource.kind: _root(resource.model) for resource in RESOURCES}


def _crd(resource: Resource) -> Schema:
    singular = resource.kind.lower()
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in resource.columns],
        "schema": {"openAPIV3Schema": _root(resource.model)},
        "subresources": {"status": {}} | ({"scale": dict(resource.scale)} if resource.scale else {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": resource.crd_name,
            "labels": {"app.kubernetes.io/part-of": "sluicegate"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": singular,
                "shortNames": [resource.short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _column(column: Column) -> Schema:
    found: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return found | ({"priority": 1} if column.wide else {})


def _root(model: type[Model]) -> Schema:
    spec, status = (model.model_fields[name] for name in ("spec", "status"))
    status_schema = struct(only_model(status), defaults=False)
    return {
        "description": prose(model.__doc__),
        "type": "object",
        # Without it a rule on the spec is bypassed by removing the spec and putting another one back.
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this schema."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": struct(only_model(spec)) | {"description": prose(spec.description)},
            # A new object must not look finished to clients that compare this with metadata.generation.
            "status": status_schema
            | {"description": prose(status.description), "default": {"observedGeneration": -1}},
        },
        **validations(model.RULES),
    }
