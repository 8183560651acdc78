"""Generated objects: the API server refuses what the operator's models refuse, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.fuzz.children import children
from tests.fuzz.coverage import Coverage
from tests.fuzz.server import Server, all_of, judge, judge_status, judge_successor
from tests.fuzz.specs import SCHEMAS, Object, sample
from tests.fuzz.verdicts import as_stored, refusal

from sluicegate.kube.client import Client

SEED = 1
OBJECTS = 14_000
SUCCESSORS, OLD = 1_000, 20
STATUSES = 1_500
PARENTS = 800
EACH_AT_LEAST = 3
Record = Callable[[str, Any], None]


@pytest.fixture
def server(client: Client, namespace: str) -> Server:
    return Server(client, namespace)


async def _stored(client: Client, namespace: str, kind: str, count: int) -> list[Object]:
    """Legal objects of a kind, each under a name of its own."""
    found: list[Object] = []
    number = 0
    while len(found) < count:
        number += 1
        obj = sample(SEED, number, kind).obj
        obj["metadata"] = {"name": f"old-{number}", "namespace": namespace}
        if refusal(as_stored(obj)) is None:
            found.append(await client.create(obj, "fuzz"))
    return found


async def test_the_api_server_and_the_models_judge_every_object_alike(
    server: Server, record_property: Record
) -> None:
    coverage = Coverage()

    async def ask(number: int) -> None:
        await judge(server, sample(SEED, number), coverage)

    await all_of(range(OBJECTS), ask)

    assert coverage.rare(EACH_AT_LEAST) == {}
    assert 1 / 3 < coverage.verdicts[True] / OBJECTS < 2 / 3
    record_property("class 16", OBJECTS)


async def test_a_model_version_is_followed_by_one_of_the_same_spec_only(
    client: Client, namespace: str, server: Server, record_property: Record
) -> None:
    stored = await _stored(client, namespace, "ModelVersion", OLD)
    coverage = Coverage()

    async def ask(number: int) -> None:
        await judge_successor(server, SEED, number, stored[number % OLD], coverage)

    await all_of(range(SUCCESSORS), ask)

    assert min(coverage.verdicts[True], coverage.verdicts[False]) > SUCCESSORS / 4
    assert any("never change" in told for _, told in coverage.refused)
    record_property("class 16", SUCCESSORS)


async def test_the_operator_reads_every_object_whatever_status_the_api_server_takes(
    client: Client, namespace: str, server: Server, record_property: Record
) -> None:
    stored = [(await _stored(client, namespace, kind, 1))[0] for kind in SCHEMAS]
    coverage = Coverage()

    async def ask(number: int) -> None:
        await judge_status(server, SEED, number, stored[number % len(stored)], coverage)

    await all_of(range(STATUSES), ask)

    assert min(coverage.verdicts[True], coverage.verdicts[False]) > STATUSES / 4
    record_property("class 16", STATUSES)


async def test_the_api_server_takes_what_is_made_of_every_object_that_it_takes(
    client: Client, namespace: str, server: Server, record_property: Record
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    await client.create({**account, "metadata": {"name": "default", "namespace": namespace}}, "fuzz")
    made: Counter[str] = Counter()

    async def ask(number: int) -> None:
        for child in children(sample(SEED, number)):
            verdict = await server.created(child)
            assert verdict.stored is not None, f"object {number} of seed {SEED}: {verdict.told}"
            made[child["kind"]] += 1

    await all_of(range(PARENTS), ask)

    assert made["ReplicaSet"] + made["Job"] == made["Pod"] > PARENTS / 8
    record_property("class 16", PARENTS)
