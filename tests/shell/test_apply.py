"""What becomes of a write where what is there is not what the decision saw."""

from __future__ import annotations

from typing import Any

import pytest
from tests.shell.kit import NAMESPACE, a_child, a_key, with_meta
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer

from sluicegate.core import objects
from sluicegate.core.intent import owns_annotation, stamped
from sluicegate.core.naming import OUTCOME, SETTLED
from sluicegate.core.objects import Manifest, ref, resource_version, uid
from sluicegate.core.plan import Create, Delete, Replace, SetFinalizers, Write
from sluicegate.kube.client import Client
from sluicegate.kube.errors import Conflict
from sluicegate.kube.resources import CONTROLLER_REVISION, SERVICE
from sluicegate.shell.apply import Applier, NameTaken
from sluicegate.shell.store import OwnWrites
from sluicegate.shell.trim import trim

pytestmark = pytest.mark.looptime(noop_cycles=1)

OWNER = "uid-of-chat"


def a_service(rollout: str = "0a1b2c3d") -> dict[str, Any]:
    spec = {"ports": [{"port": 80}], "selector": {"sluicegate.dev/rollout": rollout}}
    return stamped(a_child("Service", "chat", spec=spec))


class World:
    """An API server that holds this Service, and an applier whose cache has not heard of it."""

    def __init__(self) -> None:
        self.wire = Wire(ApiServer(gc_seconds=None))
        self.client = Client(self.wire)
        self.applier = Applier(self.client, OwnWrites({}, lambda kind, namespace: 0))

    async def holds(self, service: Manifest) -> None:
        await self.client.create(service, "sluicegate")

    async def create(self, service: Manifest, owner: str = OWNER) -> None:
        await self.write(Create(service, "why"), owner)

    async def write(self, action: Write, owner: str = OWNER) -> None:
        await self.applier.write(a_key(), owner, action)

    async def changed_by_another(self) -> dict[str, Any]:
        """The Service after somebody edited it."""
        theirs = {"metadata": {"finalizers": ["example.com/theirs"]}, "spec": {"selector": {"app": "theirs"}}}
        await self.client.patch_merge(SERVICE, NAMESPACE, "chat", theirs, "kubectl")
        return await self.live()

    async def live(self) -> dict[str, Any]:
        return await self.client.get(SERVICE, NAMESPACE, "chat")

    @property
    def writes(self) -> list[str]:
        return [each.method for each in self.wire.writes]


async def test_what_is_there_as_it_was_to_be_made_is_not_written_again() -> None:
    world = World()
    await world.holds(a_service())
    await world.create(a_service())
    assert world.writes == ["POST", "POST"]


async def test_ours_in_a_state_that_was_not_seen_is_left_for_a_decision_that_has_seen_it() -> None:
    world = World()
    await world.holds(a_service("green"))
    with pytest.raises(Conflict):
        await world.create(a_service("blue"))
    assert (await world.live())["spec"]["selector"] == {"sluicegate.dev/rollout": "green"}


async def test_ours_that_no_cache_finds_gets_its_labels_back() -> None:
    world = World()
    await world.holds(a_service())
    theirs = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "theirs"}}}
    await world.client.patch_merge(SERVICE, NAMESPACE, "chat", theirs, "kubectl")
    await world.create(a_service())
    assert (await world.live())["metadata"]["labels"] == a_service()["metadata"]["labels"]


@pytest.mark.parametrize("taken_off", ["labels", "ownerReferences"])
async def test_a_record_that_no_cache_finds_is_found_again_as_it_is_and_a_decision_has_to_see_it(
    taken_off: str,
) -> None:
    world = World()
    record = a_child("ControllerRevision", "chat-0a1b2c3d", revision=1, data={"target": "x"})
    ended = with_meta(record, annotations={OUTCOME: "how it ended"})
    await world.holds(stamped(ended))
    theirs = {"metadata": {taken_off: None, "annotations": {SETTLED: "theirs"}}}
    await world.client.patch_merge(CONTROLLER_REVISION, NAMESPACE, "chat-0a1b2c3d", theirs, "kubectl")
    with pytest.raises(Conflict, match="is found again"):
        await world.create(stamped({**record, "data": {"target": "x", "template": {}}}))
    live = await world.client.get(CONTROLLER_REVISION, NAMESPACE, "chat-0a1b2c3d")
    assert live["metadata"][taken_off] == record["metadata"][taken_off]
    assert live["data"] == {"target": "x"}
    assert objects.annotation(live, OUTCOME) == "how it ended"
    assert not owns_annotation(trim(live), SETTLED)


async def test_ours_that_somebody_took_the_owner_off_gets_it_back() -> None:
    world = World()
    await world.holds(a_service())
    theirs = {"metadata": {"ownerReferences": None}}
    await world.client.patch_merge(SERVICE, NAMESPACE, "chat", theirs, "kubectl")
    await world.create(a_service("green"))
    live = await world.live()
    assert live["metadata"]["ownerReferences"] == a_service()["metadata"]["ownerReferences"]
    assert live["spec"]["selector"] == {"sluicegate.dev/rollout": "green"}


async def test_what_somebody_made_like_ours_and_for_nobody_is_not_touched() -> None:
    world = World()
    service = a_service()
    del service["metadata"]["ownerReferences"]
    await world.client.create(service, "kubectl")
    before = await world.live()
    with pytest.raises(NameTaken, match="belongs to no LLMDeployment"):
        await world.create(a_service())
    assert await world.live() == before


async def test_what_belongs_to_another_is_not_touched() -> None:
    world = World()
    await world.holds(a_service())
    before = await world.live()
    with pytest.raises(NameTaken, match="belongs to LLMDeployment chat"):
        await world.create(a_service(), owner="uid-of-its-successor")
    assert await world.live() == before


async def test_what_changed_since_it_was_seen_is_not_put_back_whole() -> None:
    world = World()
    await world.holds(a_service())
    seen = await world.live()
    changed = await world.changed_by_another()
    with pytest.raises(Conflict, match="has changed since it was read"):
        await world.write(Replace(a_service("green"), uid(seen), resource_version(seen), "why"))
    assert await world.live() == changed


async def test_what_is_gone_since_it_was_seen_is_not_put_back() -> None:
    world = World()
    await world.holds(a_service())
    seen = await world.live()
    await world.client.delete(SERVICE, NAMESPACE, "chat")
    with pytest.raises(Conflict, match="is gone since it was read"):
        await world.write(Replace(a_service(), uid(seen), resource_version(seen), "why"))


async def test_a_finalizer_that_came_since_the_object_was_seen_stays() -> None:
    world = World()
    await world.holds(a_service())
    seen = await world.live()
    changed = await world.changed_by_another()
    with pytest.raises(Conflict):
        await world.write(SetFinalizers(ref(seen), (), uid(seen), resource_version(seen), "why"))
    assert await world.live() == changed


async def test_what_is_gone_already_needs_no_deletion() -> None:
    world = World()
    await world.holds(a_service())
    seen = await world.live()
    delete = Delete(ref(seen), uid(seen), resource_version(seen), "why")
    await world.write(delete)
    await world.write(delete)
    assert world.writes == ["POST", "DELETE", "DELETE"]
