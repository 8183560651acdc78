"""Who owns a field after which write."""

from __future__ import annotations

import copy

from tests.contract.cases.table import OTHER, case
from tests.contract.objects import config_map, deployment, having, replica_set, service
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r


@case
async def an_apply_conflicts_with_the_owner_of_a_field_unless_forced(t: Transcript) -> None:
    await t.apply("apply", config_map(a="1", b="1"))
    await t.apply("conflict", config_map(a="2", c="1"), OTHER)
    await t.apply("same value is shared", config_map(a="1"), OTHER)
    await t.apply("forced", config_map(a="2", c="1"), OTHER, force=True)
    await t.apply("the loser lets go", config_map(b="1"))
    await t.patch("an update takes", r.CONFIG_MAP, "a", {"data": {"b": "9"}}, "editor")
    await t.apply("conflict with an update", config_map(b="1"))
    await t.apply("forced back", config_map(b="1"), force=True)


@case
async def a_field_left_out_of_an_apply_is_released(t: Transcript) -> None:
    full = deployment(
        replicas=2,
        labels={"a": "1"},
        tolerations=[{"key": "x", "value": "1"}, {"key": "y"}],
        zones=["a", "b"],
        engine={"dtype": "FP32", "extraArgs": ["--a"]},
    )
    await t.apply("apply", full)
    await t.apply("somebody shares", deployment(tolerations=[{"key": "x"}], zones=["b"]), OTHER)
    await t.apply("apply less", deployment(engine={}))
    await t.apply("somebody leaves", deployment(), OTHER)


@case
async def lists_by_key_merge_item_by_item(t: Transcript) -> None:
    await t.apply("apply", deployment(tolerations=[{"key": "b"}, {"key": "d"}]))
    around = [{"key": "a"}, {"key": "b", "value": "1"}, {"key": "c"}]
    await t.apply("somebody adds around", deployment(tolerations=around), OTHER)
    await t.apply("in another order", deployment(tolerations=[{"key": "d"}, {"key": "e"}, {"key": "b"}]))
    await t.apply("without the middle", deployment(tolerations=[{"key": "b"}, {"key": "d"}]))
    twice = {"spec": {"tolerations": [{"key": "a"}, {"key": "a"}]}}
    await t.patch("a key twice", r.LLM_DEPLOYMENT, "chat", twice, "editor")


@case
async def an_environment_variable_added_by_hand_is_found_and_stays(t: Transcript) -> None:
    await t.create("create", replica_set())
    live = await t.apply("apply", replica_set(), force=True)
    edited = copy.deepcopy(live)
    engine = edited["spec"]["template"]["spec"]["containers"][0]
    engine["env"].append({"name": "ADDED", "value": "1"})
    engine["image"] = "other:1"
    await t.replace("edit", edited, "kubectl-edit")
    await t.apply("repair", replica_set(), force=True)
    restored = having(live, resourceVersion=None)
    await t.replace("put back whole", restored)


@case
async def a_service_is_switched_by_its_selector(t: Transcript) -> None:
    created = await t.create("create", service(colour="blue"))
    green = having(service(colour="green"), resourceVersion=created["metadata"]["resourceVersion"])
    await t.apply("switch", green, force=True)
    await t.apply("switch on a stale version", green, force=True)
    await t.apply("somebody widens the selector", service(colour="green", more="1"), OTHER)
    await t.apply("and by force", service(colour="green", more="1"), OTHER, force=True)
    two = service()
    two["spec"]["ports"].append({"name": "probe", "port": 9400})
    await t.apply("two ports", two, force=True)


@case
async def a_service_that_is_put_back_keeps_its_addresses(t: Transcript) -> None:
    created = await t.create("create", service(colour="blue"))
    without = {key: value for key, value in created["spec"].items() if not key.startswith(("cluster", "ip"))}
    await t.replace("put back", {**created, "spec": without})
