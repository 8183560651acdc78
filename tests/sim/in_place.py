"""What never happens to pods that change in place.

It is judged at each order that one of them takes, at each write of the pointer that they start with, and once
nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.sim.belongings import belongings, rollout_of, where_of
from tests.sim.cluster.pods import by_owner, is_ready
from tests.sim.cluster.runtime import Runtime
from tests.sim.consent import Consent
from tests.sim.end_state import outcome
from tests.sim.on_record import pointed
from tests.sim.server.store import Change
from tests.sim.world import World

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, controller_uid, labels, name, terminating, uid
from sluicegate.kube.resources import CONTROLLER_REVISION, POD, REPLICA_SET


class InPlace:
    """`consent` knows what people hold. `breach` hears what was broken, in words."""

    def __init__(self, world: World, consent: Consent, breach: Callable[[str], None]) -> None:
        self._world = world
        self._consent = consent
        self._breach = breach
        world.runtimes.listeners.append(self._ordered)

    def breaches(self, change: Change) -> Iterator[str]:
        """Of an operator's write: the pointer names what a rollout brings when every pod serves it."""
        old, new = pointed(change.old or {}), pointed(change.new)
        if change.type != "MODIFIED" or not new or old.get("digest") == new.get("digest"):
            return
        where = change.key[1]
        replica_set = self._world.server.find(REPLICA_SET, where, naming.colour_name(*_colour(change.new)))
        if replica_set is None or not any(_brings(each, new) for each in self._under_way(change.new)):
            return
        for pod, runtime in self._ready(uid(replica_set)):
            if runtime.digest != new["digest"]:
                yield f"{change.key[2]} names {new['version']} while {pod} serves {runtime.version}"

    def _ordered(self, pod: str, body: Mapping[str, Any]) -> None:
        found = next((each for each in self._world.server.peek(POD) if uid(each) == pod), None)
        if found is None:
            return
        wrong = [*_unreachable(found, body), *(self._wrong(found, body) if body["mode"] == "Switch" else ())]
        for text in wrong:
            self._breach(f"{name(found)} is told to {body['mode']} to {body['version']}: {text}")

    def _wrong(self, pod: Manifest, body: Mapping[str, Any]) -> Iterator[str]:
        ready = dict(self._ready(controller_uid(pod)))
        others = {other: runtime for other, runtime in ready.items() if other != name(pod)}
        for other, runtime in others.items():
            if _changes(runtime):
                yield f"{other} holds its requests too"
        if self._world.runtimes.version_for(pod) == body["version"]:
            return
        for other, runtime in ready.items():
            if runtime.digest != body["digest"] and not _has_staged(runtime, body["digest"]):
                yield f"{other} could not yet"
        changed = [runtime for runtime in others.values() if runtime.digest == body["digest"]]
        if not changed:
            yield from self._held(pod)
        elif not any(self._world.has_answered(each) for each in changed):
            yield "none has answered with it"

    def _held(self, pod: Manifest) -> Iterator[str]:
        """Why the first pod may not change yet: from then on it serves."""
        for record in self._under_way(pod):
            yield from self._consent.missing(where_of(pod), rollout_of(record))

    def _under_way(self, beside: Manifest) -> list[Manifest]:
        """The records of rollouts into running pods which are neither over nor ones of new pods by now."""
        return [
            each
            for each in belongings(self._world.server, CONTROLLER_REVISION, where_of(beside))
            if "reloads" in each["data"]
            and outcome(each) is None
            and annotation(each, naming.NOT_IN_PLACE) is None
        ]

    def _ready(self, owner: str | None) -> Iterator[tuple[str, Runtime]]:
        """The ready pods of a ReplicaSet that run, by name. Those that end may be at anything."""
        for each in by_owner(self._world.server.peek(POD)).get(owner, ()) if owner else ():
            runtime = self._world.runtimes.running.get(uid(each))
            if runtime is not None and is_ready(each) and not terminating(each):
                yield name(each), runtime


def astray(world: World) -> Iterator[str]:
    """Pods that serve, or whose containers would start with, something else than their pointer names.

    Where nothing is under way there are none.
    """
    for pod in world.server.peek(POD):
        runtime, pointer = world.runtimes.running.get(uid(pod)), world.runtimes.pointer(pod)
        if runtime is None or pointer is None or not is_ready(pod):
            continue
        for what, version in (("serves", runtime.version), ("starts with", world.runtimes.version_for(pod))):
            if version != pointer["version"]:
                yield f"{name(pod)} {what} {version}, and its pointer names {pointer['version']}"


def _unreachable(pod: Manifest, body: Mapping[str, Any]) -> Iterator[str]:
    """Why its store container cannot bring the files."""
    scheme, _, rest = body["source"]["uri"].partition("://")
    claims = [each.get("persistentVolumeClaim", {}).get("claimName") for each in pod["spec"]["volumes"]]
    if scheme == "pvc" and rest.partition("/")[0] not in claims:
        yield f"it does not mount {body['source']['uri']}"


def _brings(record: Manifest, pointer: Mapping[str, Any]) -> bool:
    return bool(record["data"]["pointer"]["digest"] == pointer["digest"])


def _colour(obj: Manifest) -> tuple[str, str]:
    """The LLMDeployment and the rollout that it is of."""
    return labels(obj)[naming.DEPLOYMENT], labels(obj)[naming.ROLLOUT]


def _changes(runtime: Runtime) -> bool:
    told = runtime.engine.told()
    return told is not None and told.mode == "Switch" and told.outcome is None


def _has_staged(runtime: Runtime, digest: str) -> bool:
    told = runtime.engine.told()
    return told is not None and (told.digest, told.outcome) == (digest, "Staged")
