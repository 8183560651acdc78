"""Weeks in the life of a cluster: users and hardware change something every few minutes, and requests fail.

`python -m tests.faults.soak 7 0.25` lives a quarter of a day with seed 7, and tells what was done.
"""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.builders import a_model_version
from tests.sim.apiserver import ApiServer
from tests.sim.clock import now
from tests.sim.cluster.pods import is_ready
from tests.sim.faults import Chances
from tests.sim.hygiene import Hygiene
from tests.sim.process import HOME, NAMESPACE, Installation, expected
from tests.sim.runner import START_SECONDS, simulate
from tests.sim.stage import CRDS, Stage, a_deployment
from tests.sim.truth import untrue
from tests.sim.wire import FLIGHT
from tests.sim.world import World

from sluicegate.api.v1alpha1.rollout import Rollout
from sluicegate.core import naming
from sluicegate.core.objects import (
    Manifest,
    controller_uid,
    is_true,
    labels,
    name,
    terminating,
    uid,
)
from sluicegate.kube.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    EVENT,
    JOB,
    LLM_DEPLOYMENT,
    MODEL_VERSION,
    POD,
    REPLICA_SET,
    SERVICE,
)
from sluicegate.shell.keys import Key, key_of
from sluicegate.shell.lease import Timing
from sluicegate.shell.view import OWNED

HOUR = 3600.0
RECORDS = Rollout().history_limit + 2
"""Of rollouts that are over, of the one that serves, and of one that failed."""
CHANGE_SECONDS = (60.0, 420.0)
CHURN_SECONDS = 1.5 * HOUR
REST_SECONDS = 1800.0
SETTLED_SECONDS = 300.0
"""At the end of each rest nothing may have been written for as long."""
DEPLOYMENTS = 10
NODES = ("node-a", "node-b", "node-c")
BROKEN = "broken"
VERSIONS = ("v1", "v2", "v3", BROKEN)
FAULTS_PER_MILLE = 10
SLOW_LEASE = Timing(lease=150, renew_deadline=100.0, retry=20.0)


@dataclass
class Rest:
    """What was found at the end of one rest: custom resources, tasks of the event loop, how much each
    collection inside the operator holds."""

    at: float
    objects: int
    tasks: int
    held: Mapping[str, int]
    megabytes: float


@dataclass
class Soak:
    """`told` is what was done, a line each."""

    told: list[str] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changes: int = 0
    faults: int = 0


def lived(seed: int, seconds: float) -> Soak:
    """Live so long, and longer until the last rest is over."""
    # Each rest collects garbage, but not what was here before.
    gc.freeze()
    soak = Soak()

    async def perform() -> None:
        script = Chances(seed, FAULTS_PER_MILLE)
        stage = Stage(_cluster(seed), script, Installation(lease=SLOW_LEASE))
        stage.traffic.pause()
        churn = Churn(stage, random.Random(seed), soak)
        with Hygiene(faulty=True) as hygiene:
            async with stage.running():
                await stage.until(lambda: stage.process.leads, START_SECONDS)
                while now() < seconds and not soak.problems:
                    script.calm = False
                    await churn.live(CHURN_SECONDS)
                    script.calm = True
                    await churn.rest(REST_SECONDS)
                    soak.problems += [*_unconverged(stage), *_remembered(stage), *_misconduct(stage)]
                    soak.problems += hygiene.findings
                    soak.rests.append(_weighed(stage))
                    _forget(stage)
        soak.faults = script.drawn

    simulate(perform)
    return soak


def _cluster(seed: int) -> World:
    world = World(ApiServer(CRDS, namespaces=(NAMESPACE, HOME)), seed)
    for node in NODES:
        world.nodes.add(node, **{"nvidia.com/gpu": "32"})
    world.kubelet.trouble[BROKEN] = "crash"
    return world


class Churn:
    """Users and hardware, by one seed."""

    def __init__(self, stage: Stage, chance: random.Random, soak: Soak) -> None:
        self._stage = stage
        self._chance = chance
        self._soak = soak
        self._made = 0
        for version in VERSIONS:
            stage.create(a_model_version(version, ready=False))

    async def live(self, seconds: float) -> None:
        end = now() + seconds
        while now() < end:
            self._change()
            await asyncio.sleep(self._chance.uniform(*CHANGE_SECONDS))

    async def rest(self, seconds: float) -> None:
        """Everything that can come back is back, and nobody does anything."""
        for node in list(self._stage.world.nodes.silent):
            self._stage.world.find_again(node)
        for version in VERSIONS:
            if self._stage.find(MODEL_VERSION, version) is None:
                self._stage.create(a_model_version(version, ready=False))
        await asyncio.sleep(seconds)

    def _change(self) -> None:
        do = self._chance.choice(CHANGES)
        said = do(self)
        if said:
            self._soak.changes += 1
            self._soak.told.append(f"{now():10.1f}  {said}")

    def _any(self, found: list[Manifest]) -> Manifest | None:
        return self._chance.choice(found) if found else None

    def _deployment(self) -> str | None:
        found = self._any([each for each in self._stage.server.peek(LLM_DEPLOYMENT) if not terminating(each)])
        return None if found is None else name(found)

    def create(self) -> str | None:
        if len(self._stage.names(LLM_DEPLOYMENT)) >= DEPLOYMENTS:
            return None
        self._made += 1
        named, version = f"d{self._made}", self._version()
        limit = {"progressDeadlineSeconds": 600}
        self._stage.create(a_deployment(named, version, self._chance.randint(0, 3), rollout=limit))
        return f"create {named} of {version}"

    def delete(self) -> str | None:
        named = self._deployment()
        if named is None or len(self._stage.names(LLM_DEPLOYMENT)) < 3:
            return None
        self._stage.delete(LLM_DEPLOYMENT, named)
        return f"delete {named}"

    def scale(self) -> str | None:
        return self._edit(replicas=self._chance.randint(0, 3))

    def change_version(self) -> str | None:
        return self._edit(modelVersion=self._version())

    def change_engine(self) -> str | None:
        sequences = self._chance.randint(1, 9)
        return self._edit(engine={"device": "CUDA", "maxConcurrentSequences": sequences})

    def _edit(self, **spec: Any) -> str | None:
        named = self._deployment()
        if named is None:
            return None
        self._stage.edit(named, **spec)
        return f"edit {named}: {spec}"

    def _version(self) -> str:
        """One that is to stay: who names another is stalled, and it is kept for as long."""
        found = [each for each in self._stage.server.peek(MODEL_VERSION) if not terminating(each)]
        return str(self._chance.choice([name(each) for each in found]))

    def delete_version(self) -> str | None:
        """It goes when no pods of it are left, and comes back with the rest."""
        named = {each["spec"]["modelVersion"] for each in self._stage.server.peek(LLM_DEPLOYMENT)}
        unused = sorted({*VERSIONS[1:]} & {*self._stage.names(MODEL_VERSION)} - named)
        if not unused:
            return None
        version = self._chance.choice(unused)
        self._stage.delete(MODEL_VERSION, version)
        return f"delete {version}"

    def delete_pod(self) -> str | None:
        pod = self._any(self._stage.pods())
        if pod is None:
            return None
        self._stage.delete(POD, name(pod), grace_seconds=self._chance.choice((0, 30)))
        return f"delete {name(pod)}"

    def evict_pod(self) -> str | None:
        pod = self._any(self._serving())
        if pod is None:
            return None
        self._stage.world.kubelet.evict(pod, "The node was low on resource: memory.")
        return f"evict {name(pod)}"

    def crash(self) -> str | None:
        pod = self._any(self._serving())
        if pod is None:
            return None
        self._stage.world.kubelet.crash(pod, "OOMKilled", now())
        return f"crash {name(pod)}"

    def _serving(self) -> list[Manifest]:
        lives = self._stage.world.kubelet.lives
        return [pod for pod in self._stage.pods() if is_ready(pod) and uid(pod) in lives]

    def lose_or_find_node(self) -> str | None:
        """At most one is lost at a time."""
        for node in list(self._stage.world.nodes.silent):
            self._stage.world.find_again(node)
            return f"find {node}"
        node = self._chance.choice(NODES)
        self._stage.world.lose(node)
        return f"lose {node}"

    def delete_child(self) -> str | None:
        child = self._child()
        if child is None:
            return None
        self._stage.user.delete(child[0], NAMESPACE, child[1])
        return f"delete {child[0]} {child[1]}"

    def spoil_child(self) -> str | None:
        """One of the labels or the owner is taken off, or a spec is changed."""
        child = self._child()
        if child is None:
            return None
        patch = self._chance.choice(
            (
                {"metadata": {"labels": {naming.MANAGED_BY: None}}},
                {"metadata": {"annotations": {naming.INTENT: "theirs"}}},
                {"metadata": {"ownerReferences": None}},
                *((({"spec": {"selector": {naming.ROLLOUT: "theirs"}}}),) if child[0] is SERVICE else ()),
                *((({"spec": {"replicas": 4}}),) if child[0] is REPLICA_SET else ()),
                *((({"data": {"theirs": "1"}}),) if child[0] is CONFIG_MAP else ()),
            )
        )
        self._stage.user.patch(child[0], NAMESPACE, child[1], patch)
        return f"patch {child[0]} {child[1]}: {patch}"

    def _child(self) -> tuple[Any, str] | None:
        kind = self._chance.choice([each for each in OWNED if each not in (POD, JOB)])
        found = self._any([each for each in self._stage.server.peek(kind) if controller_uid(each)])
        return None if found is None else (kind, name(found))


CHANGES: tuple[Callable[[Churn], str | None], ...] = (
    *(3 * (Churn.create, Churn.delete)),
    Churn.scale,
    Churn.change_version,
    Churn.change_version,
    Churn.change_engine,
    Churn.delete_version,
    Churn.delete_pod,
    Churn.evict_pod,
    Churn.crash,
    Churn.lose_or_find_node,
    Churn.delete_child,
    Churn.spoil_child,
)


def _unconverged(stage: Stage) -> Iterator[str]:
    """What is not as it should be after a rest."""
    if not stage.process.leads:
        yield "no operator leads"
        return
    late = [each for each in stage.journal.writes() if each.at > now() - SETTLED_SECONDS]
    yield from (f"a write at the end of a rest: {each.method} {each.path}" for each in late)
    owners = {uid(each) for each in (*stage.server.peek(LLM_DEPLOYMENT), *stage.server.peek(MODEL_VERSION))}
    for deployment in stage.server.peek(LLM_DEPLOYMENT):
        yield from _unsettled(stage, deployment)
    for kind in OWNED:
        for child in stage.server.peek(kind):
            ours = labels(child).get(naming.MANAGED_BY) == naming.MANAGER
            owner = controller_uid(child)
            # Nobody fights over the record of what is over.
            let_go = kind is CONTROLLER_REVISION and owner is None
            if kind is not POD and ours and owner not in owners and not let_go:
                yield f"an orphan: {kind} {name(child)}"
    yield from untrue(stage)


def _unsettled(stage: Stage, deployment: Manifest) -> Iterator[str]:
    named, spec, status = name(deployment), deployment["spec"], deployment.get("status") or {}
    told = {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions") or ()}
    if terminating(deployment):
        yield f"{named} is still there"
        return
    if status.get("observedGeneration") != deployment["metadata"]["generation"]:
        yield f"the status of {named} is of an earlier spec"
    if spec["modelVersion"] == BROKEN and spec.get("replicas", 1):
        if not is_true(deployment, "Stalled"):
            yield f"{named} of the broken version is not stalled: {told}"
        return
    pods = [pod for pod in stage.pods() if labels(pod).get(naming.DEPLOYMENT) == named]
    ready = [pod for pod in pods if is_ready(pod)]
    wanted = spec.get("replicas", 1)
    if wanted and not stage.is_ready(spec["modelVersion"], named):
        yield f"{named} is not ready: {told}"
    if not len(ready) == len(pods) == wanted:
        yield f"{named} has {len(pods)} pods, {len(ready)} of them ready, instead of {wanted}"
    for kind, most in ((REPLICA_SET, 1), (CONFIG_MAP, 1), (CONTROLLER_REVISION, RECORDS)):
        held = [each for each in stage.server.peek(kind) if controller_uid(each) == uid(deployment)]
        if not 1 <= len(held) <= most:
            yield f"{named} has {len(held)} objects of kind {kind}"


def _misconduct(stage: Stage) -> Iterator[str]:
    yield from dict.fromkeys(stage.invariants.breaches)
    for at, error in stage.process.exits:
        if not expected(error):
            yield f"the operator ended at {at:.0f} s with {error!r}"


def _weighed(stage: Stage) -> Rest:
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    collections = _collections(stage.process.operator, "operator", set())
    held = {path: len(collection) for path, collection in collections}
    objects = len(stage.names(LLM_DEPLOYMENT)) + len(stage.names(MODEL_VERSION))
    tasks = sum(task.get_name() != FLIGHT for task in asyncio.all_tasks())
    return Rest(now(), objects, tasks, held, pages * resource.getpagesize() / 2**20)


def _collections(part: object, path: str, seen: set[int]) -> Iterator[tuple[str, Collection[Any]]]:
    """Every collection inside the operator, with where it is."""
    if id(part) in seen or not type(part).__module__.startswith("sluicegate."):
        return
    seen.add(id(part))
    for attribute, value in getattr(part, "__dict__", {}).items():
        if isinstance(value, Collection) and not isinstance(value, str | bytes | tuple):
            yield f"{path}.{attribute}", value
        yield from _collections(getattr(value, "__self__", value), f"{path}.{attribute}", seen)


def _remembered(stage: Stage) -> Iterator[str]:
    """What is kept of custom resources that are gone."""
    kinds = (LLM_DEPLOYMENT, MODEL_VERSION)
    live = {key_of(each) for kind in kinds for each in stage.server.peek(kind)}
    for path, collection in _collections(stage.process.operator, "operator", set()):
        for key in {each for each in collection if isinstance(each, Key)} - live:
            yield f"{path} still holds {key}"


def _forget(stage: Stage) -> None:
    """What only the simulator remembers. The real API server keeps events for an hour."""
    for event in list(stage.server.peek(EVENT)):
        stage.user.delete(EVENT, event["metadata"]["namespace"], name(event))
    stage.server.store.compact()
    stage.journal.calls.clear()
    stage.journal.lines.clear()
    stage.invariants.effects.clear()
    stage.invariants.retirements.forget()
    stage.process.exits.clear()


def main(arguments: list[str]) -> int:
    soak = lived(int(arguments[0]), float(arguments[1]) * 24 * HOUR)
    print(*soak.told, sep="\n")  # noqa: T201
    for rest in soak.rests:
        largest = sorted(rest.held.items(), key=lambda each: -each[1])[:4]
        print(f"{rest.at:10.1f}  {rest.tasks} tasks, {rest.megabytes:.0f} MiB, {largest}")  # noqa: T201
    print(f"{soak.changes} changes, {soak.faults} faults", *soak.problems, sep="\n  problem: ")  # noqa: T201
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
