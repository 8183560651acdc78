"""Who may do what: an installation's roles and bindings, enforced as RBAC does, and the use made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from tests.sim.server.refusals import forbidden

from sluicegate.kube.resources import NAMESPACE, Resource

Manifest = Mapping[str, Any]

_ONE_NAME = re.compile(r"(?:^|,)metadata\.name==?([^,]+)")


class Grant(NamedTuple):
    """One verb on one resource; `name` is "" where it may be done to any object of it."""

    verb: str
    group: str
    resource: str
    subresource: str
    name: str = ""


@dataclass(frozen=True)
class Attempt:
    """What a user asks for; `namespace` and `name` are "" for all."""

    user: str
    verb: str
    resource: Resource
    subresource: str
    namespace: str
    name: str

    def grant(self, name: str) -> Grant:
        return Grant(self.verb, self.resource.group, self.resource.plural, self.subresource, name)


@dataclass
class Rights:
    """What roles grant to whom, by user and namespace ("" everywhere), and so far was `used` or `refused`.

    A fork of a server counts into the same two.
    """

    by_user: Mapping[tuple[str, str], frozenset[Grant]]
    used: set[Grant] = field(default_factory=set)
    refused: set[Grant] = field(default_factory=set)

    @classmethod
    def read(cls, folder: Path, namespace: str) -> Self:
        """Those of the YAML files in a folder, installed into a namespace."""
        files = sorted(folder.glob("*.yaml"))
        return cls.of((obj for file in files for obj in yaml.safe_load_all(file.read_text())), namespace)

    @classmethod
    def of(cls, objects: Iterable[Manifest], namespace: str) -> Self:
        """Those of roles and bindings. Which names no namespace is in the one given: kustomize puts it in."""
        known = list(objects)
        roles = {_named(each, namespace): _grants(each) for each in known if each["kind"].endswith("Role")}
        by_user: dict[tuple[str, str], frozenset[Grant]] = {}
        for binding in known:
            if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
                continue
            _, where, _ = _named(binding, namespace)
            role = binding["roleRef"]
            granted = roles[role["kind"], where if role["kind"] == "Role" else "", role["name"]]
            for subject in binding.get("subjects") or ():
                key = _user(subject), where
                by_user[key] = by_user.get(key, frozenset()) | granted
        return cls(by_user)

    @property
    def granted(self) -> frozenset[Grant]:
        return frozenset[Grant]().union(*self.by_user.values())

    def require(self, attempt: Attempt) -> None:
        """Raises RefusedError where it is not granted."""
        wheres = {"", attempt.namespace}
        mine = frozenset[Grant]().union(*(self.by_user.get((attempt.user, each), ()) for each in wheres))
        found = mine & {attempt.grant(""), attempt.grant(attempt.name)}
        if not found:
            self.refused.add(attempt.grant(attempt.name))
            raise forbidden(
                attempt.resource,
                attempt.name,
                attempt.user,
                attempt.verb,
                attempt.subresource,
                attempt.namespace,
            )
        self.used |= found


def attempt(
    user: str, verb: str, resource: Resource, subresource: str, namespace: str, name: str, fields: str
) -> Attempt:
    """What is asked for, as the API server understands it; `fields` is the field selector of a list."""
    chosen = _ONE_NAME.search(fields)
    name = name or (chosen[1] if chosen else "")
    # A namespace is in itself.
    where = name if resource == NAMESPACE else namespace
    return Attempt(user, verb, resource, subresource, where, name)


def _named(obj: Manifest, namespace: str) -> tuple[str, str, str]:
    meta = obj["metadata"]
    everywhere = obj["kind"].startswith("Cluster")
    return obj["kind"], "" if everywhere else meta.get("namespace", namespace), meta["name"]


def _grants(role: Manifest) -> frozenset[Grant]:
    return frozenset(grant for rule in role["rules"] for grant in _of_rule(rule))


def _of_rule(rule: Manifest) -> Iterator[Grant]:
    for verb in rule["verbs"]:
        for group in rule["apiGroups"]:
            for named in rule["resources"]:
                resource, _, subresource = named.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Grant(verb, group, resource, subresource, name)


def _user(subject: Manifest) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    return str(subject["name"])
