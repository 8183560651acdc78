"""What the operator may do is what it does: verbs granted are verbs used, both ways."""

from __future__ import annotations

import json

import pytest

from e2e.cluster.cluster import Cluster
from e2e.lab.audit import requests

Grant = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""


@pytest.fixture
def granted(cluster: Cluster) -> set[Grant]:
    """From the roles that are bound to the operator's ServiceAccount."""
    roles = json.loads(cluster.kubectl("get", "clusterroles,roles", "-A", "-o=json"))["items"]
    bindings = json.loads(cluster.kubectl("get", "clusterrolebindings,rolebindings", "-A", "-o=json"))[
        "items"
    ]
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in bindings
        for subject in each.get("subjects") or ()
        if (subject.get("namespace"), subject["name"]) == ("sluicegate-system", "sluicegate-operator")
    }
    return {
        (group, resource, verb)
        for role in roles
        if (role["kind"], role["metadata"]["name"]) in bound
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_verbs_used_are_verbs_granted(cluster: Cluster, granted: set[Grant]) -> None:
    seen = list(requests(cluster.audit_log))
    used = {(each.group, each.resource, each.verb) for each in seen if each.allowed}
    refused = {(each.group, each.resource, each.verb) for each in seen if not each.allowed}
    assert not refused, "needed and not granted"
    assert granted - used == set(), "granted and never used"
    assert used - granted == set(), "used by another grant than ours"
