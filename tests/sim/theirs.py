"""What is other people's: no write of the operator takes it away, whoever was faster."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim.cluster.pods import active
from tests.sim.on_record import pointed
from tests.sim.server.store import Change
from tests.sim.world import World

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, labels, name, uid
from sluicegate.kube.resources import CONFIG_MAP, POD

_OURS = ("sluicegate.dev/", naming.MANAGED_BY)
_MARKS = ("finalizers", "labels", "annotations")


def taken_away(world: World, change: Change) -> Iterator[str]:
    """What an operator's change takes from others: marks of theirs, or a ModelVersion that is used."""
    if change.old is None:
        return
    goes = change.type == "DELETED"
    for part in () if goes else _MARKS:
        for mark in sorted(_marks(change.old, part) - _marks(change.new, part)):
            yield f"{mark}, one of others' {part}, was taken off {change.key[2]}"
    if (
        change.key[0].endswith("/modelversions")
        and _is_kept(change.old)
        and (goes or not _is_kept(change.new))
    ):
        for user in _users(world, change.new):
            yield f"{change.key[2]} may go, and {user} needs it"


def _marks(obj: Manifest, part: str) -> set[str]:
    return {each for each in obj["metadata"].get(part) or () if not each.startswith(_OURS)}


def _is_kept(model_version: Manifest) -> bool:
    return naming.FINALIZER in (model_version["metadata"].get("finalizers") or ())


def _users(world: World, model_version: Manifest) -> Iterator[str]:
    """The pointers of its namespace that name it, and the pods that serve it and stay."""
    namespace, version = model_version["metadata"]["namespace"], name(model_version)
    for pointer in world.server.peek(CONFIG_MAP):
        ours = naming.ROLLOUT in labels(pointer) and pointer["metadata"]["namespace"] == namespace
        if ours and version in _named(pointed(pointer)):
            yield name(pointer)
    for pod in world.server.peek(POD):
        runtime = world.runtimes.running.get(uid(pod))
        served = runtime is not None and pod["metadata"]["namespace"] == namespace and runtime.version
        if served == version and active(pod):
            yield name(pod)


def _named(pointer: Manifest) -> set[str]:
    return {each["version"] for each in (pointer, pointer.get("draft") or {}) if "version" in each}
