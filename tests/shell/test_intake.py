"""From what was observed to keys, and the resync that makes up for what was not."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from tests.builders import ADeployment, a_model_version, a_node
from tests.shell.kit import a_child, running, until, with_meta
from tests.shell.rig import Rig, a_deployment
from tests.shell.wire import Wire

from sluicegate.kube.client import Client
from sluicegate.kube.transport import Response
from sluicegate.shell.intake import Intake
from sluicegate.shell.keys import Key
from sluicegate.shell.resync import KEYS_PER_SECOND, Resync
from sluicegate.shell.workqueue import Priority, WorkQueue

pytestmark = pytest.mark.looptime(noop_cycles=1)

CHAT = Key("LLMDeployment", "models", "chat")
V1 = Key("ModelVersion", "models", "v1")
V2 = Key("ModelVersion", "models", "v2")


class World:
    def __init__(self) -> None:
        self.queue = WorkQueue()
        self.intake = Intake(self.queue)

    def sees(self, obj: dict[str, Any]) -> set[Key]:
        """The keys that an event of a custom resource enqueues."""
        self.intake.observe(obj, Priority.EVENT)
        return self.taken()

    def taken(self) -> set[Key]:
        keys = set()
        while any(self.queue.depth(priority) for priority in Priority):
            coroutine = self.queue.get()
            with pytest.raises(StopIteration) as got:
                coroutine.send(None)
            keys.add(got.value.value)
            self.queue.done(got.value.value)
        return keys


async def test_a_deployment_wakes_the_model_versions_that_it_begins_or_ceases_to_name() -> None:
    world = World()
    assert world.sees(ADeployment().of("v1").build()) == {CHAT, V1}
    assert world.sees(ADeployment().of("v1").build()) == {CHAT}
    assert world.sees(ADeployment().of("v2").build()) == {CHAT, V1, V2}


async def test_the_pods_of_a_verification_job_wake_their_deployment() -> None:
    world = World()
    labels = {"app.kubernetes.io/managed-by": "sluicegate", "sluicegate.dev/verifies": "chat"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "chat-0a1b2c3d-job", "controller": True}
    metadata = {"namespace": "models", "labels": labels, "ownerReferences": [job]}
    world.intake.changed("Pod", None, {"kind": "Pod", "metadata": metadata})
    assert world.taken() == {CHAT}


async def test_a_draft_model_counts_as_named() -> None:
    speculative = {"method": "DraftModel", "draftModelVersion": "v2"}
    drafted = ADeployment().of("v1").with_engine(speculative=speculative).build()
    assert World().sees(drafted) == {CHAT, V1, V2}


async def test_a_model_version_wakes_the_deployments_that_name_it() -> None:
    world = World()
    world.sees(ADeployment().of("v1").build())
    assert world.sees(a_model_version("v1")) == {CHAT, V1}
    assert world.sees(a_model_version("v2")) == {V2}


async def test_what_vanishes_wakes_itself_and_its_relations_once() -> None:
    world = World()
    world.sees(ADeployment().of("v1").build())
    world.intake.vanished(CHAT, Priority.EVENT)
    assert world.taken() == {CHAT, V1}
    assert world.sees(a_model_version("v1")) == {V1}


@pytest.mark.parametrize(
    "spec", [{}, {"modelVersion": 7}, {"engine": "fast"}, {"engine": {"speculative": []}}]
)
async def test_a_spec_that_makes_no_sense_names_nothing(spec: dict[str, Any]) -> None:
    nonsense = {**ADeployment().build(), "spec": spec}
    assert World().sees(nonsense) == {CHAT}


async def test_a_child_wakes_its_owner_and_a_pod_the_deployment_of_its_label() -> None:
    world = World()
    child = with_meta(a_child("Service"), namespace="models")
    world.intake.changed("Service", None, child)
    assert world.taken() == {CHAT}
    pod = with_meta(a_child("Pod"), namespace="models", ownerReferences=[])
    world.intake.changed("Pod", pod, None)
    assert world.taken() == {CHAT}


async def test_a_child_that_changes_hands_wakes_both() -> None:
    world = World()
    old, new = (with_meta(a_child(owner=owner, data={}), namespace="models") for owner in ("chat", "other"))
    world.intake.changed("Service", old, new)
    assert world.taken() == {CHAT, Key("LLMDeployment", "models", "other")}


async def test_an_object_of_nobody_wakes_nobody() -> None:
    world = World()
    world.intake.changed("Service", None, with_meta(a_child("Service"), ownerReferences=[], labels={}))
    assert world.taken() == set()


@pytest.mark.parametrize("text", [json.dumps({"version": "v1", "draft": {"version": "v2"}}), "no JSON", "[]"])
async def test_a_pointer_that_goes_wakes_the_model_versions_that_it_named(text: str) -> None:
    world = World()
    pointer = with_meta(a_child(data={"pointer.json": text}), namespace="models")
    world.intake.changed("ConfigMap", pointer, None)
    assert world.taken() == ({CHAT, V1, V2} if text.startswith("{") else {CHAT})


async def test_a_node_wakes_every_deployment_in_no_hurry() -> None:
    world = World()
    world.sees(ADeployment().build())
    world.intake.changed("Node", None, a_node())
    assert world.queue.depth(Priority.RESYNC) == 1
    assert world.taken() == {CHAT}


class Resynced:
    """A resync of a cluster in which kopf has noticed nothing."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.wire = Wire(self.rig.site.server)
        self.world = World()
        self.resync = Resync(
            Client(self.wire), ("",), self.world.intake, self.world.queue, 600, random.Random(0)
        )


async def test_a_resync_finds_what_was_created_and_deleted_unnoticed() -> None:
    there = Resynced()
    await there.rig.create(a_model_version())
    there.world.sees(ADeployment("gone").build())
    async with running(there.resync.run()):
        await asyncio.sleep(661)
        assert there.world.taken() == {V1, Key("LLMDeployment", "models", "gone")}


async def test_a_resync_spreads_its_keys() -> None:
    there = Resynced()
    for number in range(50):
        await there.rig.create(a_deployment(f"chat-{number}"))
    await there.resync.once()
    depth = there.world.queue.depth(Priority.RESYNC)
    await asyncio.sleep(1.05)
    assert there.world.queue.depth(Priority.RESYNC) - depth == pytest.approx(KEYS_PER_SECOND, abs=1)
    await until(lambda: there.world.queue.depth(Priority.RESYNC) == 50, 5)


async def test_a_resync_that_fails_is_made_up_for_by_the_next() -> None:
    there = Resynced()
    await there.rig.create(a_model_version())
    there.wire.refuse = lambda method, path: Response(500, b"down")
    async with running(there.resync.run()):
        await asyncio.sleep(661)
        assert there.world.taken() == set()
        there.wire.refuse = lambda method, path: None
        await asyncio.sleep(661)
        assert there.world.taken() == {V1}
