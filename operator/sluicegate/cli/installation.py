"""What belongs to one installation of the operator, beside others that the cluster may have.

Definitions and ClusterRoles are shared by all of them, and a namespace is the business of whoever serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sluicegate.api.meta import GROUP
from sluicegate.core import naming
from sluicegate.core.objects import name
from sluicegate.kube.client import Listing
from sluicegate.kube.errors import NotFound
from sluicegate.kube.resources import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    LEASE,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NAMESPACE,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    Resource,
)

PART_OF = f"{naming.PART_OF}={naming.MANAGER}"
OPERATOR = f"{PART_OF},app.kubernetes.io/component=operator"
NAMESPACES = "SLUICEGATE_NAMESPACES"

# What the installation and the operator itself put beside the operator.
OPERATOR_KINDS = (NETWORK_POLICY, ROLE_BINDING, ROLE, SERVICE_ACCOUNT, CONFIG_MAP, SECRET, LEASE)

Object = Mapping[str, Any]
Served = frozenset[str]
"""Namespaces that an operator serves; empty for all."""


class Lists(Protocol):
    """What is needed of a client."""

    async def list(self, resource: Resource, namespace: str = "", *, label_selector: str = "") -> Listing: ...


@dataclass(frozen=True)
class Group:
    """Objects of one kind that go together: those that are selected and that `holds` is true of."""

    kind: Resource
    namespace: str = ""
    selector: str = ""
    holds: Callable[[Object], bool] = lambda obj: True

    async def listed(self, api: Lists) -> list[Object]:
        """Those that are there now; none where the cluster does not know the kind."""
        try:
            found = (await api.list(self.kind, self.namespace, label_selector=self.selector)).items
        except NotFound:
            return []
        return [obj for obj in found if self.holds(obj)]


def _is_of_our_group(definition: Object) -> bool:
    return name(definition).endswith(f".{GROUP}")


SHARED = (
    Group(CLUSTER_ROLE, selector=PART_OF),
    Group(CUSTOM_RESOURCE_DEFINITION, selector=PART_OF, holds=_is_of_our_group),
)


@dataclass(frozen=True)
class Installation:
    """The operator in `namespace` and the namespaces that it `serves`.

    `others` are the other operators of the cluster, by their namespaces, with what each serves.
    """

    namespace: str
    serves: Served = frozenset()
    others: Mapping[str, Served] = field(default_factory=dict)

    def owns(self, obj: Object) -> bool:
        """Whether an object of a model is this operator's: alone in a cluster, it answers for all of them."""
        if not self.others:
            return True
        namespace = namespace_of(obj)
        return _is_in(namespace, self.serves) and not any(
            _is_in(namespace, served) for served in self.others.values()
        )

    @property
    def deployments(self) -> Group:
        return Group(LLM_DEPLOYMENT, holds=self.owns)

    @property
    def model_versions(self) -> Group:
        return Group(MODEL_VERSION, holds=self.owns)

    @property
    def operator(self) -> Group:
        return Group(DEPLOYMENT, self.namespace, OPERATOR)

    def surroundings(self) -> Iterator[Group]:
        """What is there for the operator, in the order in which it may go once the operator is gone."""
        for kind in OPERATOR_KINDS:
            yield Group(kind, self.namespace, PART_OF)
        yield Group(CLUSTER_ROLE_BINDING, selector=PART_OF, holds=self._binds)
        if not self.others:
            yield from SHARED
        if self.serves != {self.namespace}:
            # One that it serves alone was there before it, with other things in it.
            yield Group(NAMESPACE, selector=PART_OF, holds=lambda obj: name(obj) == self.namespace)

    def groups(self) -> Iterator[Group]:
        """All that goes."""
        yield from (self.deployments, self.model_versions, self.operator)
        yield from self.surroundings()

    def kept(self) -> Iterator[Group]:
        """What another operator needs or serves."""
        if self.others:
            for kind in (LLM_DEPLOYMENT, MODEL_VERSION):
                yield Group(kind, holds=lambda obj: not self.owns(obj))
            yield from SHARED

    def _binds(self, binding: Object) -> bool:
        subjects = {subject.get("namespace") for subject in binding.get("subjects") or ()}
        return not self.others or subjects == {self.namespace}


async def find(api: Lists, namespace: str) -> tuple[Installation, bool]:
    """The installation in a namespace, and whether its operator's Deployment is there."""
    found = {
        namespace_of(obj): await _served(api, obj)
        for obj in (await api.list(DEPLOYMENT, label_selector=OPERATOR)).items
    }
    others = {where: served for where, served in found.items() if where != namespace}
    return Installation(namespace, found.get(namespace, frozenset()), others), namespace in found


async def _served(api: Lists, deployment: Object) -> Served:
    """What its environment says, read as the operator reads it."""
    pod = deployment["spec"]["template"]["spec"]
    maps = {
        source["configMapRef"]["name"]
        for container in pod["containers"]
        for source in container.get("envFrom") or ()
        if "configMapRef" in source
    }
    settings = Group(CONFIG_MAP, namespace_of(deployment), holds=lambda obj: name(obj) in maps)
    said = [(obj.get("data") or {}).get(NAMESPACES, "") for obj in await settings.listed(api)]
    for container in pod["containers"]:
        for variable in container.get("env") or ():
            if variable["name"] == NAMESPACES:
                said = [_value(variable, deployment)]
    return frozenset(part.strip() for text in said for part in text.split(",") if part.strip())


def _value(variable: Object, deployment: Object) -> str:
    path = ((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
    return namespace_of(deployment) if path == "metadata.namespace" else str(variable.get("value", ""))


def _is_in(namespace: str, served: Served) -> bool:
    return not served or namespace in served


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))
