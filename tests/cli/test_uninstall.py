"""`uninstall` removes everything in order, and ends even where the operator is dead."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.cli.fake_cluster import (
    CHILD,
    INSPECTION,
    OWN_NAMESPACE,
    PART_OF,
    SYSTEM,
    FakeCluster,
    an_installation,
    an_operator,
)

from sluicegate.cli import uninstall
from sluicegate.cli.cluster import Cluster
from sluicegate.cli.command import CommandError, Exit
from sluicegate.cli.installation import NAMESPACES, Installation, find
from sluicegate.cli.main import parser
from sluicegate.cli.uninstall import Uninstall, as_json, as_text
from sluicegate.kube.client import Client
from sluicegate.kube.resources import (
    CLUSTER_ROLE,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    JOB,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    NAMESPACE,
    POD,
    SECRET,
    Resource,
)
from sluicegate.settings import add_arguments

pytestmark = pytest.mark.looptime


async def _uninstall(cluster: FakeCluster, namespace: str = SYSTEM, within: float = 120.0) -> list[str]:
    said: list[str] = []
    installation, _ = await find(cluster, namespace)
    work = Uninstall(cluster, installation, said.append)
    async with asyncio.timeout(within):
        await work.run()
    return said


def _left(cluster: FakeCluster) -> set[str]:
    return {
        f"{kind.kind} {obj['metadata']['name']}" for kind, found in cluster.objects.items() for obj in found
    }


async def test_everything_goes_in_the_order_in_which_nothing_is_left_behind() -> None:
    cluster = an_installation()

    await _uninstall(cluster)

    assert cluster.deleted == [
        "LLMDeployment chat",
        "ModelVersion smollm2-1",
        "Deployment operator-sluicegate-system",
        "Secret sluicegate-operator-key",
        "ClusterRoleBinding nodes-sluicegate-system",
        "ClusterRole sluicegate-manager",
        "CustomResourceDefinition llmdeployments.sluicegate.dev",
        "Namespace sluicegate-system",
    ]
    assert not any(cluster.objects.values())


async def test_what_belongs_to_others_stays() -> None:
    cluster = an_installation()
    cluster.has(DEPLOYMENT, "web", SYSTEM, labels=PART_OF)
    cluster.has(CLUSTER_ROLE, "view", "")
    cluster.has(CUSTOM_RESOURCE_DEFINITION, "prompts.example.org", "", labels=PART_OF)
    cluster.has(NAMESPACE, "demo", "", labels=PART_OF)

    await _uninstall(cluster)

    assert _left(cluster) == {
        "Deployment web",
        "ClusterRole view",
        "CustomResourceDefinition prompts.example.org",
        "Namespace demo",
    }


async def test_a_namespace_that_the_operator_serves_alone_stays() -> None:
    cluster = FakeCluster()
    an_operator(cluster, "team-a", **OWN_NAMESPACE)
    cluster.has(NAMESPACE, "team-a", "", labels=PART_OF)

    await _uninstall(cluster, "team-a")

    assert _left(cluster) == {"Namespace team-a"}


async def test_beside_another_operator_only_what_is_its_own_goes() -> None:
    cluster = an_installation()
    cluster.objects[LLM_DEPLOYMENT].clear()
    cluster.objects[MODEL_VERSION].clear()
    an_operator(cluster, "team-a", **OWN_NAMESPACE)
    cluster.has(SECRET, "sluicegate-operator-key", "team-a", labels=PART_OF)
    for namespace in ("team-a", "elsewhere"):
        cluster.has(LLM_DEPLOYMENT, f"chat-of-{namespace}", namespace)
        cluster.has(POD, f"pod-of-{namespace}", namespace, labels=CHILD)

    async def ends_later() -> None:
        await asyncio.sleep(5)
        cluster.objects[POD].remove(cluster.one(POD, "pod-of-elsewhere"))

    await asyncio.gather(_uninstall(cluster), ends_later())

    assert _left(cluster) == {
        "CustomResourceDefinition llmdeployments.sluicegate.dev",
        "ClusterRole sluicegate-manager",
        "LLMDeployment chat-of-team-a",
        "Pod pod-of-team-a",
        "Deployment operator-team-a",
        "ClusterRoleBinding nodes-team-a",
        "Secret sluicegate-operator-key",
    }


async def test_what_an_operator_of_the_whole_cluster_serves_too_stays_with_it() -> None:
    cluster = an_installation()
    an_operator(cluster, "team-a", value="team-a,demo")

    await _uninstall(cluster, "team-a")

    assert cluster.deleted == ["Deployment operator-team-a", "ClusterRoleBinding nodes-team-a"]


@pytest.mark.parametrize(
    ("variable", "settings", "serves"),
    [
        ({}, {}, set()),
        ({}, {NAMESPACES: "a, b"}, {"a", "b"}),
        ({"value": "a"}, {NAMESPACES: "b"}, {"a"}),
        ({"value": ""}, {NAMESPACES: "b"}, set()),
        (OWN_NAMESPACE, {}, {SYSTEM}),
    ],
    ids=["nothing", "a ConfigMap", "a variable over a ConfigMap", "an empty variable", "its own namespace"],
)
async def test_what_an_operator_serves_is_read_from_its_environment(
    variable: dict[str, Any], settings: dict[str, str], serves: set[str]
) -> None:
    cluster = FakeCluster()
    an_operator(cluster, **variable)
    cluster.has(CONFIG_MAP, "settings", SYSTEM)["data"] = settings
    cluster.has(CONFIG_MAP, "something-else", SYSTEM)["data"] = {NAMESPACES: "c"}

    installation, there = await find(cluster, SYSTEM)

    assert there
    assert installation.serves == serves


def test_the_variable_is_the_one_that_the_operator_reads() -> None:
    parser = ArgumentParser()
    add_arguments(parser, {NAMESPACES: "a"})

    assert parser.get_default("namespaces") == "a"


def test_the_plan_names_server_namespaces_and_every_object() -> None:
    installation = Installation(SYSTEM, frozenset({"a"}), {"team-a": frozenset()})
    chat = (LLM_DEPLOYMENT, {"metadata": {"name": "chat", "namespace": "demo"}})
    role = (CLUSTER_ROLE, {"metadata": {"name": "sluicegate-view"}})

    told = as_text("https://cluster.example:6443", installation, [chat], [role])

    assert [" ".join(line.split()) for line in told.splitlines()] == [
        "Server https://cluster.example:6443",
        "Operator in sluicegate-system",
        "which serves a",
        "",
        "Removed",
        "LLMDeployment demo/chat",
        "",
        "Kept, for there are operators in team-a",
        "ClusterRole sluicegate-view",
    ]
    assert json.loads(as_json("https://cluster.example:6443", installation, [chat], [role])) == {
        "server": "https://cluster.example:6443",
        "operatorNamespace": SYSTEM,
        "serves": ["a"],
        "otherOperators": ["team-a"],
        "removed": [{"kind": "LLMDeployment", "namespace": "demo", "name": "chat"}],
        "kept": [{"kind": "ClusterRole", "namespace": "", "name": "sluicegate-view"}],
    }


@pytest.mark.parametrize("elsewhere", [(), ("team-a",)], ids=["none anywhere", "one elsewhere"])
async def test_a_namespace_without_an_operator_is_refused_at_once(
    elsewhere: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = FakeCluster()
    for namespace in elsewhere:
        an_operator(cluster, namespace)
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)

    with pytest.raises(CommandError) as ended:
        await _command(cluster, monkeypatch, "--yes")

    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert 'no operator in namespace "sluicegate-system" of https://cluster' in str(ended.value)
    assert ("--operator-namespace team-a" if elsewhere else "--without-operator") in str(ended.value)
    assert cluster.deleted == []


async def test_an_operator_that_is_gone_already_is_no_obstacle_once_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = FakeCluster()
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)

    code = await _command(cluster, monkeypatch, "--yes", "--without-operator")

    assert code == Exit.OK
    assert cluster.deleted == ["ClusterRole sluicegate-manager"]
    assert "ClusterRole  sluicegate-manager" in capsys.readouterr().out


async def _command(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    @asynccontextmanager
    async def connected(args: Namespace) -> AsyncIterator[Cluster]:
        yield Cluster(cast(Client, cluster), "default", "https://cluster")

    monkeypatch.setattr(uninstall, "connected", connected)
    args = parser().parse_args(["uninstall", *flags])
    return int(await args.command.run(args))


@pytest.mark.parametrize("kind", [POD, SECRET], ids=str)
async def test_model_versions_wait_until_the_children_are_gone(kind: Resource) -> None:
    cluster = an_installation()
    child = cluster.has(kind, "chat-x", labels=CHILD)

    async def ends_later() -> None:
        await asyncio.sleep(20)
        assert not any(text.startswith("ModelVersion") for text in cluster.deleted)
        cluster.objects[kind].remove(child)

    await asyncio.gather(_uninstall(cluster), ends_later())

    assert "ModelVersion smollm2-1" in cluster.deleted


async def test_an_inspection_under_way_goes_with_its_model_version() -> None:
    cluster = an_installation()
    job = cluster.has(JOB, "smollm2-1-inspect", labels=INSPECTION)

    async def goes_with_its_owner() -> None:
        await asyncio.sleep(20)
        assert "ModelVersion smollm2-1" in cluster.deleted, "it does not wait for the Job"
        cluster.objects[JOB].remove(job)

    await asyncio.gather(_uninstall(cluster), goes_with_its_owner())

    assert not any(cluster.objects.values())


async def test_a_dead_operators_finalizer_is_removed_after_a_while() -> None:
    cluster = an_installation(operator_alive=False)

    said = await _uninstall(cluster)

    assert "the operator does not let go of ModelVersion demo/smollm2-1: removing its finalizer" in said
    assert not any(cluster.objects.values())


async def test_a_living_operator_is_not_taken_for_dead() -> None:
    said = await _uninstall(an_installation())

    assert not any("does not let go" in line for line in said)


async def test_a_finalizer_of_somebody_else_is_left_and_the_deadline_ends_it() -> None:
    cluster = an_installation(operator_alive=False)
    cluster.objects[MODEL_VERSION][0]["metadata"]["finalizers"].append("example.org/audit")
    work = Uninstall(cluster, (await find(cluster, SYSTEM))[0], lambda text: None)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await work.run()

    assert cluster.objects[MODEL_VERSION][0]["metadata"]["finalizers"] == ["example.org/audit"]
    assert work.left == "1 modelversions: demo/smollm2-1"
    assert cluster.objects[DEPLOYMENT]


async def test_what_is_made_meanwhile_is_removed_too() -> None:
    cluster = an_installation()
    cluster.objects[LLM_DEPLOYMENT][0]["metadata"]["finalizers"] = ["example.org/slow"]

    async def comes_late() -> None:
        await asyncio.sleep(5)
        cluster.has(LLM_DEPLOYMENT, "late")
        await asyncio.sleep(5)
        slow = cluster.objects[LLM_DEPLOYMENT][0]
        slow["metadata"]["finalizers"] = []
        cluster.objects[LLM_DEPLOYMENT].remove(slow)

    await asyncio.gather(_uninstall(cluster), comes_late())

    assert "LLMDeployment late" in cluster.deleted
    assert not any(cluster.objects.values())


async def test_it_goes_on_where_an_earlier_run_stopped() -> None:
    cluster = FakeCluster()
    cluster.has(CLUSTER_ROLE, "sluicegate-manager", "", labels=PART_OF)

    await _uninstall(cluster)

    assert cluster.deleted == ["ClusterRole sluicegate-manager"]
