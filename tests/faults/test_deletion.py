"""Class 25: whatever is deleted, in whatever order and way, goes whole, and nothing else goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from tests.faults import incidents
from tests.faults.conftest import Count
from tests.faults.judging import SHOWN
from tests.sim.clock import now
from tests.sim.cluster.pods import accelerators
from tests.sim.deletions import DELETIONS, THEIRS
from tests.sim.faults import CRASHES, Channel, call
from tests.sim.runner import Disturbance, Result, Run, play, undisturbed
from tests.sim.server.store import Change
from tests.sim.stage import Stage
from tests.sim.wire import Call

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, controller_uid, labels, name, terminating, uid
from sluicegate.kube.resources import CONFIG_MAP, LLM_DEPLOYMENT, POD

FREED_SECONDS = 60.0
AWAY_SECONDS = 30.0
SHORT = 10
TAKEN_BY_HAND = ("finalizers-off",)
LEFT_ON_PURPOSE = ("orphaning",)
"""Where the user has what belongs to the deployment stay."""


class Deletion:
    """Looks at one run: what held accelerators when the LLMDeployment went, and what is left at the end."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._deleted_at: float | None = None
        self._freed_at = 0.0
        self._holders: set[str] = set()
        self._gone_in_use: list[str] = []

    def disturb(self, stage: Stage) -> None:
        self._stage = stage
        self._theirs = stage.find(CONFIG_MAP, THEIRS["metadata"]["name"])
        self._since = stage.server.store.version
        stage.server.store.listeners.append(self._changed)

    def problems(self) -> Iterator[str]:
        theirs = self._stage.find(CONFIG_MAP, THEIRS["metadata"]["name"])
        if theirs is not self._theirs and self._workload != "namespace":
            yield "what is not the operator's was touched"
        if self._workload not in TAKEN_BY_HAND:
            yield from self._gone_in_use
        if self._workload in LEFT_ON_PURPOSE:
            return
        yield from self._orphans()
        yield from self._made_for_what_goes()
        if self._deleted_at is not None and (self._holders or self._late()):
            yield f"accelerators were held for more than {FREED_SECONDS:.0f} s: {self._holders}"

    def _late(self) -> bool:
        return self._deleted_at is not None and self._freed_at - self._deleted_at > FREED_SECONDS

    def _changed(self, change: Change) -> None:
        kind = change.key[0].rpartition("/")[2]
        if kind == "llmdeployments" and self._deleted_at is None and _goes(change):
            self._deleted_at = now()
            self._holders = {uid(pod) for pod in self._stage.server.peek(POD) if accelerators(pod)}
        if kind == "modelversions" and change.type == "DELETED":
            users = [
                name(each) for each in self._stage.server.peek(LLM_DEPLOYMENT) if _wants(each, change.new)
            ]
            self._gone_in_use += [f"{change.key[2]} went while {each} used it" for each in users]
        if kind == "pods" and change.type == "DELETED" and uid(change.new) in self._holders:
            self._holders.remove(uid(change.new))
            self._freed_at = now()

    def _made_for_what_goes(self) -> Iterator[str]:
        """What an operator made for a custom resource that was on its way out."""
        going: set[str] = set()
        made = {id(each.change) for each in self._stage.invariants.effects if each.change.old is None}
        for change in self._stage.server.store.since(self._since):
            if change.key[0].endswith(("/llmdeployments", "/modelversions")) and _goes(change):
                going.add(uid(change.new))
            if id(change) in made and controller_uid(change.new) in going:
                yield f"{' '.join(change.key)} was made for what goes"

    def _orphans(self) -> Iterator[str]:
        """What belongs to something that is gone, or is ours and belongs to nothing."""
        store = self._stage.server.store
        for key, obj in store.every():
            owners = obj["metadata"].get("ownerReferences") or ()
            gone = [each["name"] for each in owners if store.key_of(each["uid"]) is None]
            if gone or (_is_a_child(obj) and not owners):
                yield f"{' '.join(key)} is left of {gone or 'nobody'}"
            elif terminating(obj):
                yield f"{' '.join(key)} is stuck"


def _wants(deployment: Manifest, model_version: Manifest) -> bool:
    return bool(deployment["spec"]["modelVersion"] == name(model_version))


def _goes(change: Change) -> bool:
    return change.type == "DELETED" or terminating(change.new)


def _is_a_child(obj: Manifest) -> bool:
    return labels(obj).get(naming.MANAGED_BY) == naming.MANAGER


def played(chosen: Run, wanted: Result | None, disturb: Disturbance = undisturbed) -> Result:
    """A run with all that a deletion has to keep to."""
    deletion = Deletion(chosen.workload)

    def disturbed(stage: Stage) -> None:
        deletion.disturb(stage)
        disturb(stage)

    result = play(chosen, wanted, disturbed, patience=AWAY_SECONDS)
    result.problems += deletion.problems()
    return result


def steps(wanted: Result) -> list[Call]:
    """All writes of a short run. Of one with a whole rollout, too, those that the rollout alone has not."""
    writes = [each for each in wanted.journal.writes() if each.number > wanted.before[Channel.CALL]]
    if len(writes) <= SHORT:
        return writes
    return [each for each in writes if "/modelversions/" in each.path or not each.outcome.startswith("2")]


@pytest.fixture(scope="module", params=DELETIONS)
def reference(request: pytest.FixtureRequest) -> tuple[str, Result]:
    """Each workload, with how it goes where nothing happens."""
    result = played(Run(request.param), None)
    assert not result.problems, result.problems
    return request.param, result


def test_a_kill_at_any_write_of_a_deletion_leaves_nothing_behind(
    reference: tuple[str, Result], count: Count
) -> None:
    workload, wanted = reference
    points = [call(each.number, what) for each in steps(wanted) for what in CRASHES]
    bad = []
    for point in points:
        chosen = Run(workload, 0, (point,))
        problems = played(chosen, wanted).problems
        if problems:
            bad.append("\n    ".join([f"python -m tests.sim {chosen}", *problems[:SHOWN]]))
    assert not bad, "\n  ".join([f"{len(bad)} of {len(points)} runs went wrong:", *bad[:SHOWN]])
    count(25, len(points))


def test_a_deletion_while_the_operator_is_away_is_finished_when_it_is_back(
    reference: tuple[str, Result], count: Count
) -> None:
    workload, wanted = reference
    away = partial(incidents.away, AWAY_SECONDS)
    problems = played(Run(workload), wanted, lambda stage: away(stage.process)).problems
    assert not problems, problems
    count(25, 1)
