"""Which cluster and which namespace a command speaks of, and what it says where it finds none."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.cli.cluster import connected
from sluicegate.cli.command import CommandError, Exit
from sluicegate.kube.context import current_namespace
from sluicegate.kube.errors import ConfigurationError


def _kubeconfig(folder: Path, **changed: Any) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://cluster.example"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
            {"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "team-b"}},
            {"name": "bare", "context": {"cluster": "c", "user": "u"}},
        ],
        "current-context": "main",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump({**config, **changed}))
    return str(path)


@pytest.mark.parametrize(
    ("context", "namespace"), [(None, "team-a"), ("other", "team-b"), ("bare", "default")]
)
def test_the_namespace_is_the_contexts_own(context: str | None, namespace: str, tmp_path: Path) -> None:
    assert current_namespace({}, _kubeconfig(tmp_path), context) == namespace


@pytest.mark.parametrize("current", [{"current-context": ""}, {"current-context": "gone"}], ids=str)
def test_a_named_context_needs_no_current_one(current: dict[str, str], tmp_path: Path) -> None:
    path = _kubeconfig(tmp_path, **current)

    assert current_namespace({}, path, "other") == "team-b"
    with pytest.raises(ConfigurationError, match=r"cannot read .*context"):
        current_namespace({}, path)


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        current_namespace({}, _kubeconfig(tmp_path), "nowhere")


def test_in_a_pod_the_namespace_is_the_pods_own() -> None:
    assert current_namespace({"KUBERNETES_SERVICE_HOST": "127.0.0.1"}) == "default"


UNREADABLE = {
    "no YAML": "clusters: [",
    "a word": "hello",
    "a list": "[1, 2]",
    "nothing": "",
    "a number of clusters": "{clusters: 3, contexts: [], users: [], current-context: x}",
    "clusters without names": "{clusters: [{}, {}], contexts: [], users: [], current-context: x}",
}


@pytest.mark.parametrize("namespace", [None, "demo"], ids=["the context's namespace", "a named namespace"])
@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_kubeconfig_that_is_none_ends_in_a_message(
    text: str, namespace: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)

    await _refused(str(path), namespace)


async def test_a_folder_as_kubeconfig_ends_in_a_message(tmp_path: Path) -> None:
    await _refused(str(tmp_path))


@pytest.mark.parametrize("key", ["certificate-authority", "certificate-authority-data"])
async def test_a_certificate_that_cannot_be_read_ends_in_a_message(key: str, tmp_path: Path) -> None:
    cluster = {"server": "https://cluster.example", key: "bm90aGluZw=="}

    await _refused(_kubeconfig(tmp_path, clusters=[{"name": "c", "cluster": cluster}]))


async def _refused(kubeconfig: str, namespace: str | None = None) -> None:
    args = Namespace(kubeconfig=kubeconfig, context=None, namespace=namespace)
    with pytest.raises(CommandError, match="cannot read") as ended:
        async with connected(args):
            raise AssertionError("connected")

    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert kubeconfig in str(ended.value)


async def test_a_command_is_connected_to_the_server_and_namespace_of_its_context(tmp_path: Path) -> None:
    args = Namespace(kubeconfig=_kubeconfig(tmp_path), context="other")

    async with connected(args) as cluster:
        assert (cluster.server, cluster.namespace) == ("http://cluster.example", "team-b")
