"""The unit of work: which custom resource an observed object belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.core import naming, objects
from sluicegate.core.objects import Manifest
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

_LABEL_OF = {LLM_DEPLOYMENT.kind: naming.DEPLOYMENT, MODEL_VERSION.kind: naming.MODEL_VERSION}
_LABELS = {**{label: kind for kind, label in _LABEL_OF.items()}, naming.VERIFIES: LLM_DEPLOYMENT.kind}


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """Names one custom resource by kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def key_of(custom_resource: Manifest) -> Key:
    meta = custom_resource["metadata"]
    return Key(custom_resource["kind"], meta["namespace"], meta["name"])


def child_label(key: Key) -> tuple[str, str]:
    """The label, with its value, that the children of a custom resource carry."""
    return _LABEL_OF[key.kind], key.name


def owner_key(obj: Manifest) -> Key | None:
    """The custom resource that a child belongs to, or None for an object of nobody's.

    The controlling ownerReference decides; what is below a ReplicaSet or a Job, and orphans, are known by
    the label that their template carries.
    """
    namespace = obj["metadata"].get("namespace", "")
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["apiVersion"] == LLM_DEPLOYMENT.api_version:
            return Key(owner["kind"], namespace, owner["name"])
    labels = objects.labels(obj)
    for label, kind in _LABELS.items():
        if label in labels:
            return Key(kind, namespace, labels[label])
    return None
