"""Class 23: what the operator may do is what it does, both ways, in the simulator under its shipped roles."""

from __future__ import annotations

import asyncio

from tests.faults.conftest import Count
from tests.sim.changes import another_engine, apply_everything
from tests.sim.ends import TWO
from tests.sim.faults import LOST, Channel, write
from tests.sim.process import NAMESPACE
from tests.sim.runner import Run, beginning, numbers, play, reference, simulate
from tests.sim.server.rights import Grant
from tests.sim.stage import Stage

from sluicegate.kube.client import Client
from sluicegate.kube.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
)
from sluicegate.shell.view import OWNED

BUSY = ("create", "version-change", "delete")
EDITED = (CONFIG_MAP, SECRET, SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, REPLICA_SET, CONTROLLER_REVISION)
CONTENT = frozenset({"spec", "data"})
LATE_SECONDS = 3.0
A_MINUTE_AND_A_HALF = 90.0


def test_rights_used_are_rights_granted(count: Count) -> None:
    for workload in BUSY:
        # Where an answer was lost, and the news too, what is there is looked at.
        for number in numbers(reference(workload), Channel.WRITE):
            play(Run(workload, 0, (write(number, LOST),)), reference(workload), hear_late, LATE_SECONDS)
    granted, used = set[Grant](), set[Grant]()
    worlds = [beginning(workload, 0).world for workload in BUSY]
    for world in (*worlds, simulate(disturbed_by_others).world):
        rights = world.server.rights
        assert rights is not None
        assert not rights.refused, "needed and not granted"
        granted |= rights.granted
        used |= rights.used
    assert granted - used == set(), "granted and never used"
    count(23, len(used))


def hear_late(stage: Stage) -> None:
    stage.hear_late(LATE_SECONDS, *OWNED)


async def disturbed_by_others() -> Stage:
    """Somebody applies what each child says as well, and takes a label off it; all pods are
    lost, twice; and what is over is not to be remembered."""
    stage = Stage.empty()
    async with stage.running():
        await apply_everything(stage)
        assert await stage.until(lambda: TWO(stage), 60)
        for kind in EDITED:
            for child in list(stage.server.peek(kind)):
                if child["metadata"]["namespace"] != NAMESPACE:
                    continue
                named = {key: child["metadata"][key] for key in ("namespace", "name")}
                content = {key: child[key] for key in CONTENT.intersection(child)}
                head = {"apiVersion": child["apiVersion"], "kind": child["kind"], "metadata": named}
                await Client(stage.server).apply({**head, **content}, "gitops", force=True)
                await stage.quiet(3, 60)
                unlabelled = {"metadata": {"labels": {"sluicegate.dev/deployment": None}}}
                stage.patch(kind, named["name"], unlabelled)
                await stage.quiet(3, 60)
        for _ in range(2):
            for pod in stage.pods():
                stage.delete(POD, pod["metadata"]["name"], grace_seconds=0)
            await asyncio.sleep(A_MINUTE_AND_A_HALF)
        await another_engine(stage)
        stage.edit(rollout={"historyLimit": 0})
        assert await stage.until(lambda: TWO(stage) and len(stage.names(CONTROLLER_REVISION)) == 1, 120)
    return stage
