"""What never happens to pods that change in place, judged at each order that one of them takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.sim.cluster.pods import by_owner, is_ready
from tests.sim.cluster.runtime import Runtime
from tests.sim.world import World

from sluicegate.core.objects import Manifest, controller_uid, name, uid
from sluicegate.kube.resources import POD


class InPlace:
    """`breach` hears what was broken, in words."""

    def __init__(self, world: World, breach: Callable[[str], None]) -> None:
        self._world = world
        self._breach = breach
        world.runtimes.listeners.append(self._ordered)

    def _ordered(self, pod: str, body: Mapping[str, Any]) -> None:
        found = next((each for each in self._world.server.peek(POD) if uid(each) == pod), None)
        if found is not None and body["mode"] == "Switch":
            for text in self._wrong(found, body):
                self._breach(f"{name(found)} changes to {body['version']}: {text}")

    def _wrong(self, pod: Manifest, body: Mapping[str, Any]) -> Iterator[str]:
        others = dict(self._beside(pod))
        for other, runtime in others.items():
            if _changes(runtime):
                yield f"{other} holds its requests too"
        if self._world.runtimes.version_for(pod) == body["version"]:
            return
        for other, runtime in others.items():
            if runtime.digest != body["digest"] and not _has_staged(runtime, body["digest"]):
                yield f"{other} could not yet"
        changed = [runtime for runtime in others.values() if runtime.digest == body["digest"]]
        if changed and not any(self._world.has_answered(each) for each in changed):
            yield "none has answered with it"

    def _beside(self, pod: Manifest) -> Iterator[tuple[str, Runtime]]:
        """The other ready pods of its colour that run, by name."""
        owner = controller_uid(pod)
        for other in by_owner(self._world.server.peek(POD)).get(owner, ()) if owner else ():
            runtime = self._world.runtimes.running.get(uid(other))
            if runtime is not None and is_ready(other) and uid(other) != uid(pod):
                yield name(other), runtime


def _changes(runtime: Runtime) -> bool:
    told = runtime.engine.told()
    return told is not None and told.mode == "Switch" and told.outcome is None


def _has_staged(runtime: Runtime, digest: str) -> bool:
    told = runtime.engine.told()
    return told is not None and (told.digest, told.outcome) == (digest, "Staged")
