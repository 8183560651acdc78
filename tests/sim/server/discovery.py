"""What an API server says about the kinds it serves, for clients that ask before they read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.sim.server.kinds import Kind

Document = dict[str, Any]

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def documents(kinds: Iterable[Kind]) -> dict[str, Document]:
    """The discovery documents by path."""
    served = list(kinds)
    versions = sorted({kind.resource.api_version for kind in served})
    found: dict[str, Document] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(version) for version in versions if "/" in version],
        },
    }
    for version in versions:
        kinds_there = [kind for kind in served if kind.resource.api_version == version]
        found[f"/apis/{version}" if "/" in version else f"/api/{version}"] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": [entry for kind in kinds_there for entry in _entries(kind)],
        }
    return found


def _group(version: str) -> Document:
    entry = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [entry], "preferredVersion": entry}


def _entries(kind: Kind) -> Iterable[Document]:
    resource = kind.resource
    entry = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
    }
    yield {**entry, "verbs": _VERBS}
    for subresource in kind.subresources:
        yield {**entry, "name": f"{resource.plural}/{subresource}", "verbs": ["get", "patch", "update"]}
