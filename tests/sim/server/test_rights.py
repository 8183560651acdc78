"""What the operator's manifests grant, and the account that is kept of its use."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.objects import config_map, having, of
from tests.sim.apiserver import ApiServer
from tests.sim.server.rights import Grant, Rights

from sluicegate.kube.client import Client
from sluicegate.kube.errors import Forbidden
from sluicegate.kube.resources import CONFIG_MAP, LEASE, NODE

BASE = Path(__file__).parents[3] / "manifests" / "kustomize" / "base"
HOME = "sluicegate-system"
OPERATOR = f"system:serviceaccount:{HOME}:sluicegate-operator"


@pytest.fixture
def rights() -> Rights:
    return Rights.read(BASE, HOME)


@pytest.fixture
def server(rights: Rights) -> ApiServer:
    return ApiServer(namespaces=(HOME, "models"), rights=rights)


@pytest.fixture
def operator(server: ApiServer) -> Client:
    return Client(server.as_user(OPERATOR))


def test_the_shipped_roles_are_read_as_far_as_they_are_bound(rights: Rights) -> None:
    assert Grant("list", "", "nodes", "") in rights.granted
    assert Grant("patch", "sluicegate.dev", "llmdeployments", "status") in rights.granted
    assert Grant("update", "coordination.k8s.io", "leases", "", "sluicegate-operator") in rights.granted
    assert Grant("deletecollection", "sluicegate.dev", "llmdeployments", "") not in rights.granted


async def test_a_grant_is_used_by_what_it_allows(rights: Rights, operator: Client) -> None:
    await operator.list(NODE)
    lease = await operator.create(
        having(of(LEASE.api_version, "Lease", "sluicegate-operator"), namespace=HOME), "m"
    )
    await operator.replace(lease, "m")

    lent = "coordination.k8s.io", "leases", ""
    by_name = Grant("update", *lent, "sluicegate-operator")
    assert rights.used == {Grant("list", "", "nodes", ""), Grant("create", *lent), by_name}
    assert rights.refused == set()


async def test_an_apply_that_creates_uses_two_grants_and_one_that_does_not_only_one(
    rights: Rights, server: ApiServer, operator: Client
) -> None:
    server.hand("m").create(having(config_map("there"), namespace="models"))
    await operator.apply(having(config_map("there"), namespace="models"), "m", force=True)
    once = {grant.verb for grant in rights.used}

    await operator.apply(having(config_map("new"), namespace="models"), "m", force=True)

    assert (once, {grant.verb for grant in rights.used}) == ({"patch"}, {"patch", "create"})


async def test_what_is_granted_for_a_namespace_or_a_name_is_refused_for_another(
    rights: Rights, operator: Client
) -> None:
    for namespace, name in ((HOME, "another"), ("models", "sluicegate-operator")):
        with pytest.raises(Forbidden):
            await operator.get(LEASE, namespace, name)

    refused = {grant.name for grant in rights.refused}
    assert (rights.used, refused) == (set(), {"another", "sluicegate-operator"})


async def test_a_fork_counts_into_the_same_account(
    rights: Rights, server: ApiServer, operator: Client
) -> None:
    await operator.list(CONFIG_MAP, "models")

    await Client(server.fork().as_user(OPERATOR)).list(NODE)

    assert {grant.resource for grant in rights.used} == {"configmaps", "nodes"}


async def test_who_is_bound_to_nothing_may_do_nothing_and_nobody_in_particular_everything(
    server: ApiServer,
) -> None:
    with pytest.raises(Forbidden):
        await Client(server.as_user("somebody")).list(NODE)

    assert (await Client(server).list(NODE)).items == []
