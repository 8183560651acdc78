"""Paths of kinds in the API."""

from __future__ import annotations

import pytest

from sluicegate.kube import resources


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (resources.POD.path(), "/api/v1/pods"),
        (resources.POD.path("ns", "p"), "/api/v1/namespaces/ns/pods/p"),
        (resources.NODE.path("", "n1"), "/api/v1/nodes/n1"),
        (resources.REPLICA_SET.path("ns"), "/apis/apps/v1/namespaces/ns/replicasets"),
        (
            resources.LLM_DEPLOYMENT.path("ns", "chat", "status"),
            "/apis/sluicegate.dev/v1alpha1/namespaces/ns/llmdeployments/chat/status",
        ),
        (resources.POD.path("ns", "a/../b"), "/api/v1/namespaces/ns/pods/a%2F..%2Fb"),
    ],
)
def test_a_path_names_group_namespace_object_and_subresource(path: str, want: str) -> None:
    assert path == want


def test_the_namespace_of_a_cluster_scoped_kind_is_left_out() -> None:
    assert resources.NODE.path("ns", "n1") == "/api/v1/nodes/n1"


def test_a_manifest_names_its_resource() -> None:
    assert resources.resource_of({"apiVersion": "batch/v1", "kind": "Job"}) is resources.JOB


def test_an_unknown_kind_says_where_to_add_it() -> None:
    with pytest.raises(KeyError, match=r"v1 Gadget is not in the table.*kube/resources\.py"):
        resources.find("v1", "Gadget")
