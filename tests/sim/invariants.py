"""What no write of the operator may do, checked at each of them, and what may never be the case.

The numbers are those of the design's invariants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.sim.clock import now
from tests.sim.cluster.endpoints import Labelled, answers
from tests.sim.cluster.pods import accelerators, active, by_owner
from tests.sim.consent import Consent
from tests.sim.end_state import outcome
from tests.sim.in_place import InPlace
from tests.sim.on_record import unrecorded
from tests.sim.promotions import Promotions
from tests.sim.retirements import Retirements
from tests.sim.server.store import Change
from tests.sim.swaps import Swaps
from tests.sim.theirs import taken_away
from tests.sim.world import World

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.cli.ended import failed_rollout
from sluicegate.core import naming
from sluicegate.core.objects import (
    Manifest,
    annotation,
    controller_uid,
    labels,
    name,
    terminating,
    uid,
)
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT, POD, REPLICA_SET, SERVICE

OWN = {"leases", "events"}
NEVER_SERVE = (Outcome.ROLLED_BACK, Outcome.SUPERSEDED)
SUBJECTS = {"llmdeployments", "modelversions"}

Judge = Callable[[Change], Iterable[str]]
"""What is wrong with a change that an operator made."""


@dataclass(frozen=True)
class Effect:
    """A change that an operator made."""

    at: float
    author: str
    change: Change


@dataclass(frozen=True)
class Serving:
    """The addresses of the pods behind a Service that answer and stay, those of them to which kube-proxy
    sends new connections, the most that one colour alone has of them, and how many are wanted."""

    lasting: frozenset[str]
    known: frozenset[str]
    most: int
    wanted: int


class Invariants:
    """Told of every change; `breaches` says what was broken, in words.

    `on_time` says whether the clocks of all operators are right.
    """

    def __init__(self, world: World, on_time: Callable[[], bool]) -> None:
        self._server = world.server
        self._endpoints = world.endpoints
        self._author: str | None = None
        self.breaches: list[str] = []
        self.effects: list[Effect] = []
        self._deleted: set[tuple[str, str]] = set()
        self._consent = Consent(world.server)
        self._promotions = Promotions(world, on_time)
        self.retirements = Retirements(world.server)
        self._judges: tuple[Judge, ...] = (
            self._consent.breaches,
            self._promotions.breaches,
            Swaps(world.server).breaches,
            InPlace(world, self._consent, self.breaches.append).breaches,
            partial(unrecorded, world.server),
            partial(taken_away, world),
        )
        world.server.store.listeners.append(self._changed)

    @contextmanager
    def writing(self, identity: str) -> Iterator[None]:
        """What changes meanwhile, the operator of this name has written."""
        before = self._serving()
        self._author = identity
        try:
            yield
        finally:
            self._author = None
        after, swapping = self._serving(), self._swapping()
        for deployment, was in before.items():
            if deployment not in swapping:
                self._compare(deployment, was, after.get(deployment, was))

    def _swapping(self) -> set[str]:
        """The LLMDeployments in which the pods of one version make room for those of another.

        So says the record of one that has a ReplicaSet, from before the first pod goes until it is promoted.
        """
        sets = {(each["metadata"]["namespace"], name(each)) for each in self._server.peek(REPLICA_SET)}
        records = {
            (each["metadata"]["namespace"], name(each)): labels(each).get(naming.DEPLOYMENT, "")
            for each in self._server.peek(CONTROLLER_REVISION)
            if annotation(each, naming.SWAPS) is not None
        }
        return {f"{where[0]}/{deployment}" for where, deployment in records.items() if where in sets}

    def _compare(self, deployment: str, before: Serving, after: Serving) -> None:
        floor = min(before.most, before.wanted)
        if floor and not after.lasting:
            self.breaches.append(f"I1: a write left {deployment} without a pod that answers")
        elif before.known and not before.known & after.lasting:
            self.breaches.append(f"I1: a write left {deployment} without a pod that kube-proxy knows")
        elif len(after.lasting) < floor:
            told = f"{len(after.lasting)} of {before.wanted} pods that answer"
            self.breaches.append(f"I2: a write left {deployment} with {told}")

    def _changed(self, change: Change) -> None:
        self._consent.heard(change)
        self._promotions.heard(change)
        self.retirements.heard(change)
        if self._author is not None:
            self.effects.append(Effect(now(), self._author, change))
            self._judge(change, self._author)
        elif change.key[0] == "apps/v1/controllerrevisions" and change.type == "DELETED":
            self._deleted.add(change.key[1:])
        if change.key[0] in ("apps/v1/replicasets", "v1/pods"):
            self._count_colours()

    def _judge(self, change: Change, author: str) -> None:
        """What the operator wrote is its own, or a custom resource."""
        plural = change.key[0].rpartition("/")[2]
        self._judge_failure(plural, change)
        for judge in self._judges:
            self.breaches += judge(change)
        self.breaches += self.retirements.breaches(change, author)
        if plural in OWN | SUBJECTS or change.old is None:
            return
        self._judge_ending(plural, change)
        if plural == "replicasets" and change.type == "DELETED":
            self._judge_retired(change.new)
        owner = controller_uid(change.old)
        if owner is None and not _made_by_us(change.old):
            self.breaches.append(f"a foreign object was written: {plural} {change.key[2]}")

    def _judge_ending(self, plural: str, change: Change) -> None:
        """I7: an ending is noted before the pods go, and stays what it is."""
        if change.old is None:
            return
        noted = outcome(change.old)
        if plural == "controllerrevisions" and noted not in (None, outcome(change.new)):
            self.breaches.append(f"I7: {change.key[2]} ended twice")
        if plural == "replicasets" and change.type == "DELETED":
            records = {name(each): outcome(each) for each in self._server.peek(CONTROLLER_REVISION)}
            noted_later = change.key[2] in records and records[change.key[2]] is None
            if noted_later or not any(records.values()):
                self.breaches.append(f"I7: {change.key[2]} was removed before its end was on record")
            serving = self._exposed(change.old)
            undecided = serving in records and records[serving] in (None, "RolledBack")
            if undecided and serving != change.key[2] and records.get(change.key[2]) == "Promoted":
                self.breaches.append(f"I4: {change.key[2]} was removed while {serving} was not promoted")

    def _exposed(self, replica_set: Manifest) -> str:
        """Name of the colour that the Service of the same deployment selects."""
        deployment = labels(replica_set).get(naming.DEPLOYMENT, "")
        service = self._server.find(SERVICE, replica_set["metadata"]["namespace"], deployment)
        exposes = annotation(service, naming.EXPOSES) if service else None
        return naming.colour_name(deployment, exposes or naming.NO_ROLLOUT)

    def _judge_failure(self, plural: str, change: Change) -> None:
        """I8: what did not take over never serves, and a failure is told of until something else is asked.

        Or until somebody deletes its record.
        """
        if change.old is None or change.type == "DELETED":
            return
        shown = annotation(change.new, naming.EXPOSES)
        if plural == "services" and shown != annotation(change.old, naming.EXPOSES):
            of = naming.DEPLOYMENT, labels(change.new).get(naming.DEPLOYMENT)
            colour = {of, (naming.ROLLOUT, shown)}
            records = self._server.peek(CONTROLLER_REVISION)
            if any(outcome(each) in NEVER_SERVE and colour <= labels(each).items() for each in records):
                self.breaches.append(f"I8: {change.key[2]} sends requests to {shown}, which was given up")
        if plural == "llmdeployments":
            failed, still = failed_rollout(change.old), failed_rollout(change.new)
            if not failed or still or not _asks_for_the_same(change.old, change.new, failed):
                return
            if (change.key[1], naming.colour_name(change.key[2], failed)) not in self._deleted:
                self.breaches.append(f"I8: {change.key[2]} does not say any more that {failed} has failed")

    def _judge_retired(self, replica_set: Manifest) -> None:
        """No new connection may reach its pods any more."""
        where = replica_set["metadata"]["namespace"], labels(replica_set).get(naming.DEPLOYMENT, "")
        deployment = self._server.find(LLM_DEPLOYMENT, *where)
        service = self._server.find(SERVICE, *where)
        if service is None or deployment is None or terminating(deployment):
            return
        reached = self._endpoints.lingering(service["spec"].get("clusterIP", ""), now())
        pods = by_owner(self._server.peek(POD)).get(uid(replica_set), ())
        if any(answers(pod) and pod["status"]["podIP"] in reached for pod in pods):
            self.breaches.append(f"new connections still reached {name(replica_set)} when it was deleted")

    def _serving(self) -> Mapping[str, Serving]:
        """Who answers for each LLMDeployment that wants pods."""
        pods = Labelled(self._server.peek(POD))
        kept = {uid(each) for each in self._server.peek(REPLICA_SET) if not terminating(each)}
        services = {(each["metadata"]["namespace"], name(each)): each for each in self._server.peek(SERVICE)}
        found = {}
        for deployment in self._server.peek(LLM_DEPLOYMENT):
            where = (deployment["metadata"]["namespace"], name(deployment))
            wanted = deployment["spec"].get("replicas", 1)
            if terminating(deployment) or not wanted:
                continue
            service = services.get(where)
            behind = pods.selected(service) if service else []
            stay = [pod for pod in behind if answers(pod) and controller_uid(pod) in kept]
            lasting = frozenset(pod["status"]["podIP"] for pod in stay)
            known = self._endpoints.known(service["spec"].get("clusterIP", ""), now()) if service else ()
            most = max(Counter(map(controller_uid, stay)).values(), default=0)
            found["/".join(where)] = Serving(lasting, lasting.intersection(known), most, wanted)
        return found

    def _count_colours(self) -> None:
        """I3: at most two colours of a deployment hold accelerators."""
        pods = by_owner(pod for pod in self._server.peek(POD) if active(pod) and accelerators(pod))
        holders: dict[str, set[str]] = {}
        for replica_set in self._server.peek(REPLICA_SET):
            if pods.get(uid(replica_set)):
                deployment = labels(replica_set).get(naming.DEPLOYMENT, "")
                holders.setdefault(deployment, set()).add(name(replica_set))
        for deployment, colours in holders.items():
            if len(colours) > 2:
                self.breaches.append(
                    f"I3: {len(colours)} colours of {deployment} hold accelerators: {colours}"
                )


def _asks_for_the_same(old: Manifest, new: Manifest, failed: str) -> bool:
    """Whether two statuses speak of one spec, and nobody wants the rollout to be tried again."""
    seen = {each["status"].get("observedGeneration") for each in (old, new)}
    return len(seen) == 1 and not terminating(new) and annotation(new, naming.RETRY) != failed


def _made_by_us(obj: Manifest) -> bool:
    """Whatever somebody else has taken off it since."""
    return any(entry["manager"] == naming.MANAGER for entry in obj["metadata"].get("managedFields") or ())
