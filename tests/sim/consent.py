"""What people hold: no version serves during a pause that began before, or without the word it waits for."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim.apiserver import ApiServer
from tests.sim.belongings import Where, belongings, rollout_of, where_of
from tests.sim.clock import now
from tests.sim.end_state import outcome
from tests.sim.server.store import Change

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core import naming
from sluicegate.core.objects import Manifest, annotation, name
from sluicegate.kube.resources import CONTROLLER_REVISION, LLM_DEPLOYMENT

HEARD_SECONDS = 1.0
"""For so long an operator may act as if it had not heard of a pause."""


class Consent:
    """Told of every change by `heard`; `breaches` judges those that an operator made."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._paused: dict[tuple[str, str], float] = {}

    def heard(self, change: Change) -> None:
        if change.key[0].endswith("/llmdeployments"):
            if change.type != "DELETED" and change.new["spec"].get("paused"):
                self._paused.setdefault(_where(change.new), now())
            else:
                self._paused.pop(_where(change.new), None)

    def breaches(self, change: Change) -> Iterator[str]:
        where = where_of(change.new)
        rollout = self._held(change, where) if change.old and _shifts(change) else None
        if rollout is not None:
            yield from self.missing(where, rollout)

    def missing(self, where: Where, rollout: str) -> Iterator[str]:
        """Why a rollout of this LLMDeployment may not take over now."""
        deployment = self._server.find(LLM_DEPLOYMENT, *where)
        if deployment is None:
            return
        if now() - self._paused.get(where, now()) > HEARD_SECONDS:
            yield f"{where[1]} is paused, and rollout {rollout} takes over"
        asks = deployment["spec"].get("rollout", {}).get("promotion") == "Manual"
        if asks and annotation(deployment, naming.PROMOTE) != rollout:
            yield f"nobody has promoted rollout {rollout} of {where[1]}, and it takes over"

    def _held(self, change: Change, where: Where) -> str | None:
        """The undecided rollout that is to serve. The first ever waits for nobody, nor does a way back, nor
        what pods have made room for already."""
        records = {rollout_of(each): each for each in belongings(self._server, CONTROLLER_REVISION, where)}
        endings = {rollout: outcome(record) for rollout, record in records.items()}
        served = annotation(change.old, naming.EXPOSES) if change.old else None
        if Outcome.PROMOTED not in endings.values() or endings.get(served or "") == Outcome.ROLLED_BACK:
            return None
        undecided = [each for each, ending in endings.items() if each != served and ending is None]
        if change.key[0] == "v1/services":
            undecided = [each for each in undecided if not annotation(records[each], naming.SWAPS)]
        return next(iter(undecided), None)


def _shifts(change: Change) -> bool:
    """Whether requests begin to go to another colour, or pods begin to make room for it."""
    old: Manifest = change.old or {}
    new = change.new
    if change.type == "DELETED":
        return False
    if change.key[0].endswith("/controllerrevisions"):
        return bool(annotation(new, naming.SWAPS) and not annotation(old, naming.SWAPS))
    shown, before = annotation(new, naming.EXPOSES), annotation(old, naming.EXPOSES)
    return change.key[0] == "v1/services" and shown != before and before != naming.EVERY_ROLLOUT


def _where(deployment: Manifest) -> tuple[str, str]:
    return deployment["metadata"]["namespace"], name(deployment)
