"""One LLMDeployment's world in the words of decisions: colours, the target among them, and who serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from sluicegate.api.v1alpha1.llmdeployment import Ending, LLMDeployment, Outcome
from sluicegate.api.v1alpha1.rollout import Promotion
from sluicegate.core import in_place, naming
from sluicegate.core.colours import Colour, colours
from sluicegate.core.exposure import Exposure, exposure
from sluicegate.core.objects import Manifest, by_name, overdue
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.pointer import Pointer
from sluicegate.core.preflight import Preflight, preflight
from sluicegate.core.problem import Problem
from sluicegate.core.target import asked_for, target_of


@dataclass(frozen=True)
class Change:
    """A rollout that goes into running pods, and the colour that they are of."""

    reload: Colour
    host: Colour

    @property
    def taken(self) -> bool:
        """Whether it is through with the pods, and the record of their colour names what it brought."""
        return self.host.record.rollout == self.reload.id

    @property
    def before(self) -> Colour:
        """The same pods, and what they served before."""
        return in_place.before(self.host, self.reload)


@dataclass(frozen=True)
class World:
    """`wanted` is the target's hash, or None where the model is not known well enough to make pods.

    `past` are the colours of which only the record is left, the last to end first. `failed` is the one that
    the spec still asks for and that is not made again. `endings` has what ends now, not recorded yet.
    `reload` is the rollout that goes into running pods, `ended` the one that ends now; they are no colours.
    """

    seen: SeenDeployment
    now: datetime
    deployment: LLMDeployment
    colours: Mapping[str, Colour]
    preflight: Preflight
    wanted: str | None
    target: Colour | None
    exposure: Exposure
    past: tuple[Colour, ...] = ()
    failed: Colour | None = None
    endings: Mapping[str, Ending] = field(default_factory=dict)
    reload: Colour | None = None
    ended: Colour | None = None

    def ending(self, colour: Colour) -> Ending | None:
        """How its rollout ended: as it ends now, or as recorded."""
        return self.endings.get(colour.id) or colour.record.ending

    def settled(self, colour: Colour) -> bool:
        """Whether it failed and its target may be made again: asked for anew, or not any more."""
        ending = self.ending(colour)
        failed = ending is not None and _rolled_back(ending)
        holds = self.failed is not None and self.failed.id == colour.id
        return failed and not holds

    @cached_property
    def promoted_last(self) -> Colour | None:
        return promoted_last((*self.colours.values(), *self.past))

    @cached_property
    def last_good(self) -> Colour | None:
        """The promoted colour that serves, or else the one that was promoted last."""
        before = self.taken.before if self.taken else self.previous
        return before or self.serving or self.promoted_last

    @cached_property
    def change(self) -> Change | None:
        """What goes into running pods."""
        into = self.reload.record.reload if self.reload else None
        host = self.colours.get(into.colour) if into else None
        return Change(self.reload, host) if self.reload and host else None

    @property
    def changing(self) -> Change | None:
        """The same, while pods are yet to change."""
        return None if self.taken else self.change

    @cached_property
    def taken(self) -> Change | None:
        """The same, when they all have."""
        return self.change if self.change and self.change.taken else None

    @property
    def arriving(self) -> Colour | None:
        """What is on its way, in running pods or in its own, and does not serve alone yet."""
        return self.reload or (None if self.promoted else self.target)

    @cached_property
    def watched(self) -> Colour | None:
        """The colour that serves what is yet to be promoted."""
        return self.taken.host if self.taken else self.observed

    def wants(self, colour: Colour) -> bool:
        """Whether the spec asks for a colour. Files that cannot be told now are taken as unchanged."""
        target = colour.record.target
        return (
            target == self.wanted if self.wanted else target.startswith(f"{asked_for(self.deployment.spec)}.")
        )

    @cached_property
    def serving(self) -> Colour | None:
        """The colour that the Service sends all requests to."""
        return self.colours.get(self.exposure.rollout)

    @cached_property
    def previous(self) -> Colour | None:
        """The colour that the Service can go back to, for as long as the one after it is not promoted."""
        serving = self.serving
        if serving is None:
            return promoted_last(self.colours.values()) if self.exposure.overlap else None
        ending = self.ending(serving)
        decided = ending is not None and ending.outcome is not Outcome.ROLLED_BACK
        return None if decided else promoted_last(self.colours.values())

    @cached_property
    def observed(self) -> Colour | None:
        """The colour that serves and is yet to be promoted, unless the spec asks for the previous again."""
        serving = self.serving
        undecided = serving is not None and self.previous is not None and self.ending(serving) is None
        return serving if undecided and (self.target is None or self.promoted) else None

    @cached_property
    def reverted(self) -> Colour | None:
        """The colour that failed after it took over and is behind the Service still."""
        failed = (each for each in self.exposed if (end := self.ending(each)) and _rolled_back(end))
        return next(failed, None) if self.previous else None

    @property
    def problem(self) -> Problem | None:
        """What keeps the target from being made. What is there already needs no permission."""
        return None if self.target is not None or self.reload is not None else self.preflight.problem

    @property
    def pointer(self) -> Pointer | None:
        return self.preflight.pointer

    @cached_property
    def exposed(self) -> tuple[Colour, ...]:
        """The colours that the Service sends requests to."""
        if self.exposure.overlap:
            return tuple(each for each in self.colours.values() if each.replica_set or each.ready_pods)
        found = self.colours.get(self.exposure.rollout)
        return (found,) if found else ()

    @cached_property
    def kept(self) -> tuple[Colour, ...]:
        """The colours that are to stay: the target, those that serve and the one that can serve again."""
        ids = {colour.id for colour in (*self.exposed, self.target, self.previous) if colour}
        return tuple(colour for colour in self.colours.values() if colour.id in ids)

    @cached_property
    def retired(self) -> tuple[Colour, ...]:
        """The colours of which something is left that nothing needs any more."""
        ids = {colour.id for colour in self.kept}
        return tuple(colour for colour in self.colours.values() if colour.id not in ids)

    @cached_property
    def crowded(self) -> bool:
        """Whether two colours hold pods already, so that no other may have some.

        Pods that should have ended by now do not count: their node does not answer any more.
        """
        going = (pod for colour in self.retired if colour.objects for pod in colour.pods)
        return (
            self.exposure.overlap
            or any(colour.replica_set for colour in self.retired)
            or any(not overdue(pod, self.now) for pod in going)
        )

    @cached_property
    def coming(self) -> str | None:
        """Identity of the colour that shall be made now, if one shall. Another one's pods go first."""
        held = self.problem or self.crowded or self.paused or self.previous
        if self.target or self.reload or self.ended or self.failed or held or self.wanted is None:
            return None
        generation = self.deployment.metadata.generation
        taken = {*self.colours, *(colour.id for colour in self.past)}
        while (id := naming.rollout_id(self.wanted, generation)) in taken:
            generation += 1
        return id

    @property
    def promoted(self) -> bool:
        return self.target is not None and self.exposure.rollout == self.target.id

    @cached_property
    def paused(self) -> bool:
        """Whether the spec, or a freeze of all rollouts, holds a change that is wanted."""
        return (self.deployment.spec.paused or bool(self.seen.defaults.freeze)) and self._changes

    @cached_property
    def awaits_promotion(self) -> bool:
        """Whether a person has yet to let the target serve."""
        return self.target is not None and self.asks_for_promotion(self.target) and self._changes

    def asks_for_promotion(self, colour: Colour) -> bool:
        """Whether somebody has to promote this rollout. An annotation for another one says nothing."""
        manual = self.deployment.spec.rollout.promotion is Promotion.MANUAL
        return manual and self.deployment.metadata.annotations.get(naming.PROMOTE) != colour.id

    @cached_property
    def _changes(self) -> bool:
        """Whether another colour was promoted before, whose pods may be lost for a moment.

        A first colour waits for nobody: as long as none was ever promoted, nobody answers. Nor does one that
        is gone back to before the one after it was promoted, nor one that pods have made room for.
        """
        goes_back = self.previous is not None and self.previous is self.target
        swaps = self.target is not None and self.target.record.swaps
        return bool(self.exposed) and not (self.promoted or goes_back or swaps)

    @cached_property
    def service(self) -> Manifest | None:
        return by_name(self.seen.services).get(self.deployment.metadata.name)

    @cached_property
    def preview(self) -> Manifest | None:
        return by_name(self.seen.services).get(naming.preview_name(self.deployment.metadata.name))


def world(seen: SeenDeployment, deployment: LLMDeployment, now: datetime) -> World:
    everything = colours(seen)
    reload = in_place.under_way(everything)
    found = {
        id: in_place.given_back(colour, everything.values(), now)
        for id, colour in everything.items()
        if colour is not reload and not colour.over
    }
    checked = preflight(deployment.spec, seen)
    wanted = target_of(deployment.spec, checked.pointer) if checked.pointer else None
    served = deployment.status.serving.rollout if deployment.status.serving else None
    name = deployment.metadata.name
    service, budget = by_name(seen.services).get(name), by_name(seen.disruption_budgets).get(name)
    last = promoted_last(found.values())
    exposed = exposure(service, budget, served, last.id if last else None, found, now)
    known = World(
        seen=seen,
        now=now,
        deployment=deployment,
        colours=found,
        preflight=checked,
        wanted=wanted,
        target=None,
        exposure=exposed,
        past=tuple(sorted((each for each in everything.values() if each.over), key=_ended, reverse=True)),
        reload=reload,
    )
    coming = reload is not None and known.wants(reload) and not known.taken
    matching = [each for each in found.values() if known.wants(each) and not each.record.in_place]
    target = None if coming else _target(matching, exposed, known.previous)
    asked_before = [each for each in everything.values() if known.wants(each)]
    failed = None if target or coming else _failed(asked_before, deployment)
    return replace(known, target=target, failed=failed)


def promoted_last(found: Iterable[Colour]) -> Colour | None:
    colours = (each for each in found if not each.record.in_place)
    return max(filter(_is(Outcome.PROMOTED), colours), key=_ended, default=None)


def _rolled_back(ending: Ending) -> bool:
    return ending.outcome is Outcome.ROLLED_BACK


def _target(matching: Iterable[Colour], exposed: Exposure, previous: Colour | None) -> Colour | None:
    """The colour that is to serve. One that failed or was superseded does not come back.

    Nor does one that made room for `previous`, while that is kept beside the one that serves: a pod of it may
    be left on a lost node, and with others it would be the third that has some.
    """
    able = (each for each in matching if each.record.ending is None or _can_serve(each, previous))
    return max(able, key=lambda colour: colour.id == exposed.rollout, default=None)


def _can_serve(colour: Colour, previous: Colour | None) -> bool:
    stays = colour.replica_set is not None or previous is None
    return stays and _is(Outcome.PROMOTED)(colour)


def _failed(matching: Iterable[Colour], deployment: LLMDeployment) -> Colour | None:
    """The last of them that failed, unless somebody asks for another try or has since had another spec."""
    failed = [each for each in matching if _is(Outcome.ROLLED_BACK)(each) and not each.record.settled]
    last = max(failed, key=_ended, default=None)
    retried = last is not None and deployment.metadata.annotations.get(naming.RETRY) == last.id
    return None if retried else last


def _is(outcome: Outcome) -> Callable[[Colour], bool]:
    return lambda colour: colour.record.ending is not None and colour.record.ending.outcome is outcome


def _ended(colour: Colour) -> tuple[str, str]:
    return (colour.record.ending.finished_at if colour.record.ending else "", colour.id)
